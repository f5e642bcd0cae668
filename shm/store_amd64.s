//go:build !race

#include "textflag.h"

// func FenceFull()
TEXT ·FenceFull(SB), NOSPLIT, $0-0
	MFENCE
	RET

// func Pause(n uint32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), AX
again:
	PAUSE
	SUBL $1, AX
	JNZ  again
	RET

// func copyAtOnce(dst, src unsafe.Pointer, n uint64)
TEXT ·copyAtOnce(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	CLD
	REP; MOVSB
	RET

// func prefetchWrite(p unsafe.Pointer, n uint64)
// PREFETCHW, which Go's assembler does not know, of (AX). Where the processor
// does not know it either, it does nothing.
TEXT ·prefetchWrite(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX
line:
	BYTE $0x0F; BYTE $0x0D; BYTE $0x08
	ADDQ $64, AX
	SUBQ $64, CX
	JHI  line
	RET
