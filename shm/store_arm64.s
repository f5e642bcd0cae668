//go:build !race

#include "textflag.h"

// func storeRelease64(p *uint64, v uint64)
TEXT ·storeRelease64(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD v+8(FP), R1
	STLR R1, (R0)
	RET

// func storeRelease32(p *uint32, v uint32)
TEXT ·storeRelease32(SB), NOSPLIT, $0-12
	MOVD  p+0(FP), R0
	MOVWU v+8(FP), R1
	STLRW R1, (R0)
	RET

// func storeReleaseBoth(p *uint64, v uint64, q *uint32, w uint32)
TEXT ·storeReleaseBoth(SB), NOSPLIT, $0-28
	MOVD  p+0(FP), R0
	MOVD  v+8(FP), R1
	MOVD  q+16(FP), R2
	MOVWU w+24(FP), R3
	STLR  R1, (R0)
	STLRW R3, (R2)
	RET

// func FenceFull()
TEXT ·FenceFull(SB), NOSPLIT, $0-0
	DMB $0xb // ISH
	RET

// func FenceStoreStore()
TEXT ·FenceStoreStore(SB), NOSPLIT, $0-0
	DMB $0xa // ISHST
	RET

// func FenceLoadLoad()
TEXT ·FenceLoadLoad(SB), NOSPLIT, $0-0
	DMB $0x9 // ISHLD
	RET

// func Pause(n uint32)
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVWU n+0(FP), R0
again:
	YIELD
	SUBW $1, R0
	CBNZW R0, again
	RET

// func prefetchWrite(p unsafe.Pointer, n uint64)
TEXT ·prefetchWrite(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD n+8(FP), R1
line:
	PRFM (R0), PSTL1KEEP
	ADD  $64, R0
	SUBS $64, R1
	BHI  line
	RET
