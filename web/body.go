package web

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

const (
	// mostBodies is how many bytes of bodies there are at once, of all requests
	// together.
	mostBodies = 64 << 20
	// leastBuffer is what a body gets first.
	leastBuffer = 4 << 10
)

// budget is bytes that may be taken. All methods may be called from any
// goroutine.
type budget struct {
	mu   sync.Mutex
	left int
}

// take reports whether n bytes were left, and takes them.
func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < n {
		return false
	}
	b.left -= n
	return true
}

// give gives n bytes back.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
}

// readBody reads the body of a request, which counts until done is called. It
// blocks until the body is there, for bodyTimeout at most. A body takes memory
// as it comes: who only announces one holds up no others. Errors:
// [http.MaxBytesError], [os.ErrDeadlineExceeded], errBusy, those of reading.
func (b *Bridge) readBody(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	in := http.MaxBytesReader(w, r.Body, mostBody)
	most := mostBody + 1 // one more, to find the end
	if r.ContentLength >= 0 {
		most = int(min(r.ContentLength, mostBody)) + 1
	}
	for {
		if len(body) == cap(body) {
			size := min(max(leastBuffer, 2*cap(body)), most)
			if !b.bodies.take(size) {
				b.bodies.give(cap(body))
				return nil, nil, fmt.Errorf("%w: the bodies of all requests together would be more than %d bytes: send less at once, or later", errBusy, mostBodies)
			}
			larger := append(make([]byte, 0, size), body...)
			b.bodies.give(cap(body))
			body = larger
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, func() { b.bodies.give(cap(body)) }, nil
		}
		if err != nil {
			b.bodies.give(cap(body))
			return nil, nil, err
		}
	}
}
