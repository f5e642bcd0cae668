//go:build !race && linux

package bench

const racing = false
