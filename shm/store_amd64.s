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

// func prefetchWrite(p unsafe.Pointer)
// PREFETCHW, which Go's assembler does not know, of 0, 64 and 128(AX). Where
// the processor does not know it either, it does nothing.
TEXT ·prefetchWrite(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	BYTE $0x0F; BYTE $0x0D; BYTE $0x08
	BYTE $0x0F; BYTE $0x0D; BYTE $0x48; BYTE $0x40
	BYTE $0x0F; BYTE $0x0D; BYTE $0x88; LONG $0x00000080
	RET
