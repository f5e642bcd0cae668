//go:build !unix

package web

const noFollow = 0
