// Package plot draws charts as SVG: lines over a number, and bars.
//
//	[Lines], [Bars] ──▶ SVG() ──▶ a file that looks the same wherever it is shown
//
// The pictures have no background, colours that can be told apart on light and
// on dark, and text that follows the reader's colour scheme. Equal charts give
// equal bytes.
//
// All values must be finite, and above 0 on a logarithmic axis: others are
// left out.
package plot
