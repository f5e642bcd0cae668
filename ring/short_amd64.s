//go:build !race && !shmbus_portable

#include "textflag.h"
#include "go_asm.h"

// Registers, in all that follows:
//
//	R8   p, the Producer          R10  position of the record
//	SI   payload, what is left    CX   its length
//	R11  extent of the record     DI   its address
//	R15  the publisher's block    AX, BX, DX, R9, R12, R13  scratch
//
// Every store to the ring is a plain MOV: amd64 makes stores visible in program
// order, so one to a commit word is a release. No instruction here waits for
// another processor.

// IS_SHORT jumps to no unless the payload is of a length that we take here.
#define IS_SHORT(limit, no) \
	CMPQ CX, limit; \
	JAE  no; \
	CMPQ CX, $const_shortLeast; \
	JB   no

// PLACE finds where the record goes, or jumps to no if anything is due before.
#define PLACE(no) \
	LEAQ (const_recordHeader+const_recordAlign-1)(CX), R11; \
	ANDQ $~(const_recordAlign-1), R11; \
	LEAQ const_recordHeader(R10)(R11*1), DX; \
	MOVQ (Producer_entrant+entrant_soft)(R8), BX; \
	SUBQ DX, BX; \
	JMI  no; \
	MOVQ R10, DI; \
	ANDQ (Producer_short+shortRoad_mask)(R8), DI; \
	ADDQ (Producer_short+shortRoad_data)(R8), DI

// COPY copies the payload behind the header, word by word: whoever publishes
// has just written it as words, and a wider load would wait until they have
// left the store buffer, behind every store to the ring before them. What is
// left of it at the end is copied together with what lies before it.
#define COPY(four, one, odd, end) \
	LEAQ const_recordHeader(DI), R9; \
	MOVQ CX, BX; \
	SUBQ $32, BX; \
	JLT  one; \
four: \
	MOVQ (SI), AX; \
	MOVQ 8(SI), DX; \
	MOVQ 16(SI), R12; \
	MOVQ 24(SI), R13; \
	MOVQ AX, (R9); \
	MOVQ DX, 8(R9); \
	MOVQ R12, 16(R9); \
	MOVQ R13, 24(R9); \
	ADDQ $32, SI; \
	ADDQ $32, R9; \
	SUBQ $32, BX; \
	JGE  four; \
one: \
	ADDQ $32, BX; \
	JZ   end; \
	SUBQ $8, BX; \
	JLT  odd; \
	MOVQ (SI), AX; \
	MOVQ AX, (R9); \
	ADDQ $8, SI; \
	ADDQ $8, R9; \
	SUBQ $32, BX; \
	JMP  one; \
odd: \
	MOVQ (SI)(BX*1), AX; \
	MOVQ AX, (R9)(BX*1); \
end:

// COMMIT_WORD puts the record's commit word into BX.
#define COMMIT_WORD \
	MOVQ R10, BX; \
	SHRQ $5, BX; \
	SHLQ $36, BX; \
	ORQ  CX, BX; \
	BTSQ $(32+1), BX

// func publishShort(p *Producer, payload []byte, kind uint32, now int64) int
TEXT ·publishShort(SB), NOSPLIT, $0-56
	MOVQ p+0(FP), R8
	MOVQ payload_base+8(FP), SI
	MOVQ payload_len+16(FP), CX
	IS_SHORT((Producer_short+shortRoad_limit)(R8), refuse)
	MOVQ (Producer_entrant+entrant_tail)(R8), R10
	PLACE(refuse)

	// A subscriber that waits for the record looks at its first line all the
	// time, and its processor fetches the next ones along. All are asked for at
	// once, before the stores ask one after the other. PREFETCHW, of 0, 64 and
	// 128(DI).
	BYTE $0x0F; BYTE $0x0D; BYTE $0x0F
	BYTE $0x0F; BYTE $0x0D; BYTE $0x4F; BYTE $0x40
	BYTE $0x0F; BYTE $0x0D; BYTE $0x8F; LONG $0x00000080

	MOVQ  now+40(FP), R12
	MOVQ  $const_StampNow, BX
	CMPQ  R12, BX
	JNE   stamped
	CMPB  (Producer_short+shortRoad_counts)(R8), $0
	JEQ   refuse
	RDTSC
	SHLQ  $32, DX
	ORQ   DX, AX
	MOVQ  AX, R12
stamped:

	// Inside, if the ring still is biased to us: the revoker's membarrier
	// orders the store before the load.
	MOVQ (Producer_entrant+entrant_block)(R8), R15
	MOVL (Producer_entrant+entrant_generation)(R8), BX
	MOVL BX, publisherBlock_active(R15)
	MOVQ (Producer_short+shortRoad_bias)(R8), BX
	MOVQ (BX), BX
	CMPQ BX, (Producer_entrant+entrant_owned)(R8)
	JNE  revoked

	MOVQ $0, (DI)(R11*1) // the next header
	MOVQ (Producer_entrant+entrant_sequence)(R8), BX
	MOVQ BX, record_sequence(DI)
	MOVQ R12, record_time(DI)
	MOVL kind+32(FP), BX
	ORQ  (Producer_short+shortRoad_meta)(R8), BX
	MOVQ BX, record_meta(DI)
	COPY(four, one, odd, copied)
	COMMIT_WORD

	ADDQ R11, (Producer_entrant+entrant_tail)(R8)
	INCQ (Producer_entrant+entrant_sequence)(R8)
	MOVQ BX, record_commit(DI)
	MOVL $0, publisherBlock_active(R15) // outside

	INCQ (publisherBlock_stats+publisherStats_published)(R15)
	ADDQ CX, (publisherBlock_stats+publisherStats_bytes)(R15)
	MOVQ (Producer_short+shortRoad_sleeps)(R8), BX
	MOVQ (BX), BX
	MOVQ $const_shortDone, AX
	CMPQ BX, Producer_sleepsSeen(R8)
	JNE  wake
	MOVQ AX, ret+48(FP)
	RET
wake:
	MOVQ $const_shortWake, AX
	MOVQ AX, ret+48(FP)
	RET
revoked:
	MOVL $0, publisherBlock_active(R15)
refuse:
	MOVQ $const_shortRefused, ret+48(FP)
	RET

// func publishRun(p *Producer, payloads [][]byte, meta uint64, now int64) (n int, bytes uint64)
TEXT ·publishRun(SB), NOSPLIT, $8-64
	MOVQ p+0(FP), R8
	MOVQ payloads_base+8(FP), R15 // not the block here
	MOVQ payloads_len+16(FP), R14
	MOVQ (Producer_entrant+entrant_tail)(R8), R10
	MOVQ $0, bytes-8(SP)
next:
	MOVQ (R15), SI
	MOVQ 8(R15), CX
	IS_SHORT((Producer_short+shortRoad_runLimit)(R8), stop)
	PLACE(stop)
	MOVQ $0, (DI)(R11*1) // the next header
	MOVQ (Producer_entrant+entrant_sequence)(R8), BX
	MOVQ BX, record_sequence(DI)
	INCQ BX
	MOVQ BX, (Producer_entrant+entrant_sequence)(R8)
	MOVQ now+40(FP), BX
	MOVQ BX, record_time(DI)
	MOVQ meta+32(FP), BX
	MOVQ BX, record_meta(DI)
	COPY(four, one, odd, copied)
	COMMIT_WORD
	MOVQ BX, record_commit(DI)
	ADDQ CX, bytes-8(SP)
	ADDQ R11, R10
	ADDQ $24, R15
	DECQ R14
	JNZ  next
stop:
	MOVQ R10, (Producer_entrant+entrant_tail)(R8)
	MOVQ payloads_len+16(FP), AX
	SUBQ R14, AX
	MOVQ AX, n+48(FP)
	MOVQ bytes-8(SP), AX
	MOVQ AX, bytes+56(FP)
	RET
