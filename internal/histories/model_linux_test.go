package histories

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// input is a call: a publish of a value, or subscriber's next. Of a message
// that anybody got, its number in the topic is known: that is where in the log
// it has to be.
type input struct {
	publish    bool
	value      int
	number     int // unknown: nobody got it
	subscriber int
}

const unknown = -1

// empty is what next gives where there is nothing.
const empty = -1

// state is the log, and how much of it each subscriber has read.
type state struct {
	log  []int
	read [subscribers]int
}

const subscribers = 2

// topic is what a topic means.
var topic = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) {
		now, call := s.(state), in.(input)
		if call.publish {
			if call.number != unknown && call.number != len(now.log) {
				return false, now
			}
			now.log = append(slices.Clip(now.log), call.value)
			return true, now
		}
		at := now.read[call.subscriber]
		if got := out.(int); got == empty {
			return at == len(now.log), now
		} else if at == len(now.log) || now.log[at] != got {
			return false, now
		}
		now.read[call.subscriber]++
		return true, now
	},
	Equal: func(a, b any) bool {
		x, y := a.(state), b.(state)
		return x.read == y.read && slices.Equal(x.log, y.log)
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %v", in, out) },
}
