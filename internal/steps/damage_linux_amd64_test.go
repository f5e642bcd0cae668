package steps

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// TestDamageIsSeen damages a sound scene in each way that the checks are
// there to notice.
func TestDamageIsSeen(t *testing.T) {
	if raceEnabled || !shm.HaveMembarrier() {
		t.Skip("as TestEnumeratedDeath")
	}
	put := func(s *scene, off, v uint64) { binary.LittleEndian.PutUint64(s.site.maps[0].Bytes()[off:], v) }
	get := func(s *scene, off uint64) uint64 { return bytesOf(s.site.maps[0].Bytes()).u64(off) }
	at := func(s *scene, position uint64) uint64 {
		off, _ := s.site.geometry.DataRange()
		return uint64(off) + position&(capacity-1)
	}
	tests := []struct {
		name, want string
		damage     func(s *scene)
	}{
		{"nothing", "", func(*scene) {}},
		{"header at the end", "not zero", func(s *scene) { put(s, at(s, s.ring.Stat().Position), 1<<40) }},
		{"tag of a record", "not zero", func(s *scene) { put(s, at(s, 64), get(s, at(s, 64))+1<<36) }},
		{"sequence of a record", "has sequence", func(s *scene) { put(s, at(s, 64)+8, 7) }},
		{"claimed too low", "claimed is", func(s *scene) { put(s, offClaimed, s.ring.Stat().Position) }},
		{"pending beyond the end", "gate 0", func(s *scene) { put(s, offPending, s.ring.Stat().Position+32) }},
		{"mutex left", "the mutex is", func(s *scene) { put(s, offMutex, uint64(s.victimAt.gen<<8|1)) }},
		{"bias left", "the victim's", func(s *scene) { put(s, offBias, 1<<32|uint64(s.victimAt.gen<<8|1)) }},
		{"active left", "active is", func(s *scene) { put(s, 0x1000, 1) }},
		{"message lost", "is missing", func(s *scene) { s.reader.got = append(s.reader.got[:1:1], s.reader.got[2:]...) }},
		{"last message lost", "were acknowledged", func(s *scene) { s.reader.got = s.reader.got[:len(s.reader.got)-1] }},
		{"message twice", "twice or out of order", func(s *scene) { s.lossy.got = append(s.lossy.got, s.lossy.got[0]) }},
		{"message of nobody", "were acknowledged", func(s *scene) { s.reader.got = append(s.reader.got, message{slot: otherSlot, seq: 1 << 50}) }},
		{"another message to another", "to one subscriber", func(s *scene) { s.lossy.got[1].number++ }},
	}
	onThread(t, func(w *worker) {
		for _, tt := range tests {
			s := w.site.lay(scenarioNamed("publish-first"))
			s.victimAt = assignment{slot: victimSlot, gen: s.grant(victimSlot)}
			s.publish(s.survivor, survivorSlot, 3, 32)
			s.drain()
			s.publish(s.survivor, survivorSlot, 2, 32)
			s.drainOne(s.lossy)
			s.reader.c.Release()
			if tt.name == "nothing" || strings.Contains(tt.name, "message") {
				s.drain()
			}
			tt.damage(s)
			s.repaired()
			s.messages()
			all := strings.Join(s.problems, "\n")
			if tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
				t.Errorf("%s: the checks say %q, want %q", tt.name, all, tt.want)
			}
		}
	})
}
