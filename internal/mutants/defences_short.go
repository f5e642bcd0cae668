package main

// defencesOfShort are those of the road written in assembly.
var defencesOfShort = []defence{
	{
		name: "short road: active while inside", file: "ring/short_amd64.s",
		with: `	MOVL BX, publisherBlock_active(R15)
`,
		gone: ``,
		in:   "ring", test: `^TestHotRoadsExclude$`, race: true,
	},
	{
		name: "short road: look at the bias", file: "ring/short_amd64.s",
		with: `	JNE  revoked
`,
		gone: ``,
		in:   "ring", test: `^TestHotRoads$`,
	},
	{
		name: "short road: who goes back is not inside", file: "ring/short_amd64.s",
		with: `revoked:
	MOVL $0, publisherBlock_active(R15)
`,
		gone: `revoked:
`,
		in: "ring", test: `^TestShortRoadRefuses$`,
	},
	{
		name: "short road: who is done is not inside", file: "ring/short_amd64.s",
		with: `	MOVL $0, publisherBlock_active(R15) // outside
`,
		gone: ``,
		in:   "ring", test: `^TestShortRoad$`,
	},
	{
		name: "short road: next header is zeroed", file: "ring/short_amd64.s",
		with: `	MOVQ $0, (DI)(R11*1) // the next header
	MOVQ (Producer_entrant+entrant_sequence)(R8), BX
	MOVQ BX, record_sequence(DI)
	MOVQ R12`,
		gone: `	MOVQ (Producer_entrant+entrant_sequence)(R8), BX
	MOVQ BX, record_sequence(DI)
	MOVQ R12`,
		in: "ring", test: `^TestHotRoads$`,
	},
	{
		name: "short road: wake", file: "ring/short_amd64.s",
		with: `	JNE  wake
`,
		gone: ``,
		in:   "ring", test: `^TestHotRoads$`,
	},
	{
		name: "short road: what is due", file: "ring/short_amd64.s",
		with: `	JMI  no; \
`,
		gone: ``,
		in:   "ring", test: `^TestShortRoadRefuses$`,
	},
	{
		name: "short road: long messages", file: "ring/short_amd64.s",
		with: `	JAE  no; \
`,
		gone: ``,
		in:   "ring", test: `^TestShortRoadRefuses$`,
	},
	{
		name: "short road: messages of less than a word", file: "ring/short_amd64.s",
		with: `	JB   no
`,
		gone: ``,
		in:   "ring", test: `^TestShortRoadRefuses$|^TestShortRoad$`,
	},
	{
		name: "short road: the last bytes", file: "ring/short_amd64.s",
		with: `	MOVQ AX, (R9)(BX*1); \
`,
		gone: ``,
		in:   "ring", test: `^TestShortRoad$`,
	},
	{
		name: "short road: clocks that are not the counter", file: "ring/short_amd64.s",
		with: `	JEQ   refuse
`,
		gone: ``,
		in:   "ring", test: `^TestShortRoadRefuses$`,
	},
}
