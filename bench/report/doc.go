// Package report says what the rows of shmbus bench mean: whether the targets
// are met, how the costs grow, in tables, pictures and a document.
//
//	shmbus bench -o json ──▶ NAME.json ──▶ [Read] ──▶ []bench.Row ──┬─▶ [Check]     met or missed, target by target
//	                                                                ├─▶ [Charts]    SVG
//	                                                                └─▶ [Rewrite]   what stands between the document's markers
//
// Nothing here measures, and no number of the document comes from elsewhere.
// Ratios are those of the medians of one run.
package report
