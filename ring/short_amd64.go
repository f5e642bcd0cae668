//go:build amd64 && !race && !shmbus_portable

package ring

const haveShortRoad = true

// publishShort is publishFlat for a short payload: shortRefused if it is not,
// or the ring is not biased to p, or anything is due. now may be StampNow.
//
//go:noescape
func publishShort(p *Producer, payload []byte, kind uint32, now int64) int

// publishRun is publishNext for each of payloads, of which there is one at
// least, until one is not short or anything is due: it returns how many, and
// their bytes. meta is as in the records.
//
//go:noescape
func publishRun(p *Producer, payloads [][]byte, meta uint64, now int64) (n int, bytes uint64)
