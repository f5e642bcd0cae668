//go:build unix

package web

import "syscall"

const noFollow = syscall.O_NOFOLLOW
