package model

import "fmt"

var wordNames = map[int]string{
	wBias: "bias", wMutex: "mutex", wTail: "tail", wSequence: "sequence", wPending: "pending", wBusyEnd: "busyEnd", wClaimed: "claimed",
	wDoorbell: "doorbell", wPendingDoorbell: "pendingDoorbell", wSpaceDoorbell: "spaceDoorbell", wSleeps: "sleeps", wSpaceSleeps: "spaceSleeps",
	wGates: "gates", wGateEpoch: "gateEpoch",
}

func wordName(e store) string {
	a := int(e.addr)
	if name := wordNames[a]; name != "" {
		return name
	}
	switch {
	case a < wCursor:
		return fmt.Sprintf("active of P%d", a-wActive)
	case a < wCursorSeq:
		return fmt.Sprintf("cursor of S%d", a-wCursor)
	case a < wGateGen:
		return fmt.Sprintf("cursor sequence of S%d", a-wCursorSeq)
	case a < wGateNum:
		return fmt.Sprintf("gate generation of S%d", a-wGateGen)
	case a < wIndex:
		return fmt.Sprintf("gate number of S%d", a-wGateNum)
	case a < wUnit:
		return fmt.Sprintf("index %d", a-wIndex)
	case a >= wPayload:
		return fmt.Sprintf("payload at offset %d", (a-wPayload)%maxUnits)
	case (a-wUnit)%2 == 0:
		return fmt.Sprintf("commit word at offset %d", (a-wUnit)/2)
	}
	return fmt.Sprintf("fields at offset %d", (a-wUnit)/2)
}

func valueName(e store) string {
	a, v := int(e.addr), e.val
	if a >= wPayload || a < wUnit {
		return fmt.Sprintf("%#x", v)
	}
	if (a-wUnit)%2 == 1 {
		return fmt.Sprintf("message %d sequence %d slot %d", messageOf(v), sequenceOf(v), slotOf(v))
	}
	if v == 0 {
		return "0"
	}
	return fmt.Sprintf("%s %d+%d", [...]string{"free", "BUSY", "COMMITTED", "ABORTED", "PAD", "?", "?", "?"}[stateOf(v)], v>>6&255, extentOf(v))
}
