// Package top shows a bus in a terminal, live: `shmbus top`.
//
//	watch.Watcher ──▶ Snapshot ──▶ model (sorted, filtered, histories) ──▶ lines
//
// The model is a bubbletea program: Update is pure, View makes text, so tests
// press keys and read screens without a terminal. Without one, [Text] prints a
// snapshot as plain lines. The script terminal runs it in tmux, over a bus with
// a thousand topics, and tells what that costs.
//
// Colours are the terminal's own sixteen, on its own background, and never
// alone in saying something: it reads on dark and on light, and without any.
package top
