//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

// stageHTTP makes the listening socket, for the subscriber.
func stageHTTP(s *stage) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	s.give(1, s.closeLater(f))
	s.address = "http://" + l.Addr().String() + "/"
	return nil
}

// attachHTTP makes a client and a server of net/http. Publishing is a POST,
// the way back its response.
func attachHTTP(keepAlive bool) func(*actor) (outlet, inlet, error) {
	return func(a *actor) (outlet, inlet, error) {
		runtime.UnlockOSThread() // the server's goroutines and ours hand over to each other
		if a.Actor < a.Cell.Publishers {
			c := &httpClient{
				address: a.Address,
				client:  &http.Client{Transport: &http.Transport{DisableKeepAlives: !keepAlive, DisableCompression: true}},
				answer:  make([]byte, 0, a.Cell.Size),
			}
			return c, c, nil
		}
		l, err := net.FileListener(os.NewFile(ownDescriptors, "listener"))
		if err != nil {
			return nil, nil, err
		}
		s := &httpServer{size: a.Cell.Size, messages: make(chan []byte), done: make(chan []byte)}
		if a.Cell.Pattern == RTT {
			s.answers = true
		}
		go http.Serve(l, s) // ends with the process
		return s, s, nil
	}
}

type httpClient struct {
	address string
	client  *http.Client
	answer  []byte
}

func (c *httpClient) send(w *writer, n int) error {
	for range n {
		r, err := c.client.Post(c.address, "application/octet-stream", bytes.NewReader(w.next()))
		if err != nil {
			return err
		}
		c.answer = c.answer[:cap(c.answer)]
		got, err := io.ReadFull(r.Body, c.answer)
		r.Body.Close()
		if err != nil && err != io.EOF { // no body: 204
			return err
		}
		c.answer = c.answer[:got]
		if r.StatusCode/100 != 2 {
			return fmt.Errorf("%w: status %s", ErrWrong, r.Status)
		}
	}
	return nil
}

func (c *httpClient) receive(k *checker, n int) error {
	if n != 1 || len(c.answer) == 0 {
		return fmt.Errorf("%w: no answer", ErrWrong)
	}
	k.take(c.answer)
	return nil
}

// httpServer hands each body to the subscriber and waits until it is read.
type httpServer struct {
	size     int
	answers  bool
	messages chan []byte
	done     chan []byte // the answer, or nothing
}

func (s *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := make([]byte, s.size)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.messages <- b
	answer := <-s.done
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // the client finds out
}

func (s *httpServer) receive(k *checker, n int) error {
	for range n {
		k.take(<-s.messages)
		if !s.answers {
			s.done <- nil
		}
	}
	return nil
}

func (s *httpServer) send(w *writer, n int) error {
	for range n {
		s.done <- w.next()
	}
	return nil
}
