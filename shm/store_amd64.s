//go:build !race

#include "textflag.h"

// amd64 keeps stores in program order (TSO), so a plain MOV is a
// store-release; that these are calls keeps the compiler from moving stores.

// func storeRelease64(p *uint64, v uint64)
TEXT ·storeRelease64(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ v+8(FP), BX
	MOVQ BX, (AX)
	RET

// func storeRelease32(p *uint32, v uint32)
TEXT ·storeRelease32(SB), NOSPLIT, $0-12
	MOVQ p+0(FP), AX
	MOVL v+8(FP), BX
	MOVL BX, (AX)
	RET

// func storeReleaseBoth(p *uint64, v uint64, q *uint32, w uint32)
TEXT ·storeReleaseBoth(SB), NOSPLIT, $0-28
	MOVQ p+0(FP), AX
	MOVQ v+8(FP), BX
	MOVQ q+16(FP), CX
	MOVL w+24(FP), DX
	MOVQ BX, (AX)
	MOVL DX, (CX)
	RET

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
