package secretservertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"
)

// dripInterval paces an endless body: fast enough that no idle timeout ends it.
const dripInterval = 20 * time.Millisecond

// suffer answers a request that has met a fault.
func (s *Server) suffer(w http.ResponseWriter, r *http.Request, c *call, f *Fault) {
	answer := reply{result: Unprocessed, account: c.account}
	if f.Processed {
		answer = c.process()
	}
	if !s.pause(r.Context(), f.Delay) {
		answer.status = 0 // nobody sees an answer
		s.note(c, &answer, f)
		abort(w)
		return
	}
	if f.Effect.needsAnswer() && !f.Processed {
		answer = c.process()
	}
	shown := f.shape(&answer, c.body)
	s.note(c, &shown, f)
	switch f.Effect {
	case Drop:
		abort(w)
	case Half:
		shown.writeHalf(w)
		abort(w)
	case Huge:
		shown.writeHuge(w, orDefault(f.Size, defaultHugeSize))
	case Drip:
		shown.writeHeader(w, -1)
		s.drip(w, r)
		abort(w)
	default:
		shown.write(w)
	}
}

// shape is the answer as the fault presents it.
func (f *Fault) shape(answer *reply, request []byte) reply {
	shown := *answer
	switch f.Effect {
	case Status:
		shown.replace(htmlReply(f.Status, ""))
		if f.Body != "" {
			shown.body = []byte(f.Body)
		}
	case HTML:
		shown.replace(htmlReply(orDefault(f.Status, http.StatusOK), ""))
	case Reflect:
		shown.replace(refusal("", "error", string(request)))
		shown.status = orDefault(f.Status, http.StatusBadRequest)
	case Huge, Drip:
		body := shown.body
		shown.replace(reply{status: orDefault(f.Status, http.StatusOK), header: katanaHeader(), body: body})
	case Truncate:
		shown.body = shown.body[:len(shown.body)/2]
	case Alter:
		if shown.grant != nil {
			shown.body = f.alter(*shown.grant).json()
		}
	case Drop:
		shown.status = 0
	case Pass, Half:
	}
	if shown.header == nil {
		shown.header = http.Header{}
	}
	for name, value := range f.Header {
		shown.header.Set(name, value)
	}
	return shown
}

// replace shows another answer while the books keep the true result.
func (p *reply) replace(other reply) {
	p.status, p.header, p.body = other.status, other.header, other.body
}

func (f *Fault) alter(g grant) *grant {
	if f.TokenType != "" {
		g.tokenType = quote(f.TokenType)
	}
	if f.ExpiresIn != "" {
		g.expiresIn = f.ExpiresIn
	}
	if f.TokenNewline {
		middle := len(g.accessToken) / 2
		g.accessToken = g.accessToken[:middle] + `\n` + g.accessToken[middle:]
	}
	for field, raw := range map[string]*string{
		"access_token": &g.accessToken, "token_type": &g.tokenType,
		"expires_in": &g.expiresIn, "refresh_token": &g.refreshToken,
	} {
		if slices.Contains(f.Omit, field) {
			*raw = ""
		}
	}
	return &g
}

// pause waits, and reports false when the client leaves or the server closes
// before the time is over.
func (s *Server) pause(ctx context.Context, delay time.Duration) bool {
	if delay <= 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.closing:
		return false
	}
}

// writeHalf announces the whole body and sends half of it.
func (p *reply) writeHalf(w http.ResponseWriter) {
	p.writeHeader(w, len(p.body))
	_, err := w.Write(p.body[:len(p.body)/2])
	if err = errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
		panic(http.ErrAbortHandler) // the client left first
	}
}

// writeHuge writes a JSON object that begins with size bytes of padding.
func (p *reply) writeHuge(w http.ResponseWriter, size int64) {
	tail := []byte(`"}`)
	if rest, ok := bytes.CutPrefix(p.body, []byte("{")); ok && len(rest) > 1 {
		tail = append([]byte(`",`), rest...)
	}
	head := []byte(`{"padding":"`)
	p.writeHeader(w, len(head)+int(size)+len(tail))
	block := bytes.Repeat([]byte("a"), 64<<10)
	if _, err := w.Write(head); err != nil {
		return // the client has had enough
	}
	for size > 0 {
		n, err := w.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return
		}
		size -= int64(n)
	}
	_, _ = w.Write(tail)
}

// drip writes until the client leaves or the server closes.
func (s *Server) drip(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	next := []byte(`{"access_token":"`)
	for s.pause(r.Context(), dripInterval) {
		if _, err := w.Write(next); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
		next = []byte("A")
	}
}

// abort resets the connection; over HTTP/2, and where the connection cannot be
// had, it ends the stream or closes the connection instead.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if secure, ok := conn.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		err = tcp.SetLinger(0) // close with RST
	}
	if err = errors.Join(err, raw.Close()); err != nil {
		panic(http.ErrAbortHandler)
	}
}
