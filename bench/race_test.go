//go:build race && linux

package bench

// racing: processes take ten times as long to start.
const racing = true
