package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy passes connections on byte by byte, and while it cuts, ends each after a random time or a random number of
// bytes, in order or by a reset: mostly in the middle of something.
type proxy struct {
	listener net.Listener
	target   string
	lifetime time.Duration
	cutting  atomic.Bool
	cuts     atomic.Int64

	mu   sync.Mutex
	open map[*link]struct{}
}

// link is one connection through the proxy.
type link struct {
	client, server *net.TCPConn
	once           sync.Once
}

// newProxy listens on loopback until ctx ends.
func newProxy(ctx context.Context, target string, lifetime time.Duration) (*proxy, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, lifetime: lifetime, open: map[*link]struct{}{}}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go p.accept(ctx)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// cut decides whether connections are cut from now on; those that are open get their lifetimes too.
func (p *proxy) cut(yes bool) {
	p.cutting.Store(yes)
	if !yes {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		p.schedule(l)
	}
}

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(ctx, client.(*net.TCPConn))
	}
}

func (p *proxy) serve(ctx context.Context, client *net.TCPConn) {
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp4", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server.(*net.TCPConn)}
	p.mu.Lock()
	p.open[l] = struct{}{}
	if p.cutting.Load() {
		p.schedule(l)
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, l)
		p.mu.Unlock()
		l.end(false)
	}()
	stop := context.AfterFunc(ctx, func() { l.end(false) })
	defer stop()
	go func() {
		_, _ = io.Copy(l.server, l.client)
		_ = l.server.CloseWrite()
	}()
	// Half of the connections may also end after a number of bytes, which is where frames are torn.
	if p.cutting.Load() && rand.IntN(2) == 0 {
		if _, err := io.CopyN(l.client, l.server, rand.Int64N(256<<10)); errors.Is(err, io.EOF) {
			return
		}
		if p.cutting.Load() {
			p.cutNow(l)
			return
		}
	}
	_, _ = io.Copy(l.client, l.server)
}

func (p *proxy) schedule(l *link) {
	after := time.Duration(rand.ExpFloat64() * float64(p.lifetime))
	time.AfterFunc(after, func() {
		if p.cutting.Load() {
			p.cutNow(l)
		}
	})
}

func (p *proxy) cutNow(l *link) {
	if l.end(rand.IntN(2) == 0) {
		p.cuts.Add(1)
	}
}

// end closes both sides; with a reset, what is under way is lost.
func (l *link) end(reset bool) bool {
	ended := false
	l.once.Do(func() {
		ended = true
		if reset {
			_ = l.client.SetLinger(0)
			_ = l.server.SetLinger(0)
		}
		_ = l.client.Close()
		_ = l.server.Close()
	})
	return ended
}
