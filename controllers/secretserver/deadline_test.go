package secretserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheTimeoutBoundsTheWholeGrant(t *testing.T) {
	header := "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
	for _, test := range []struct {
		name   string
		script func(*visit)
		want   Error
	}{
		{"TLS handshake that hangs", nil, Error{Kind: NotSent}},
		{"no answer", func(v *visit) {
			v.request()
			v.wait()
		}, Error{Kind: Ambiguous}},
		{"header that comes in drops", func(v *visit) {
			v.request()
			v.drip("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1000))
		}, Error{Kind: Ambiguous}},
		{"body that comes in drops", func(v *visit) {
			_ = v.request() && v.write(header)
			v.drip(strings.Repeat(" ", 1000))
		}, Error{Kind: Ambiguous, Status: 200}},
		{"body that stops", func(v *visit) {
			_ = v.request() && v.write(header)
			v.wait()
		}, Error{Kind: Ambiguous, Status: 200}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(t, test.script)
				endpoint := v.endpoint()
				endpoint.Timeout = 20 * time.Second
				client := connect(t, v.pool(t), endpoint)
				start := time.Now()
				_, err := client.Refresh(t.Context(), "Refresh")
				test.want.Operation, test.want.Cause = RefreshGrant, TimedOut
				wantError(t, err, test.want)
				if took := time.Since(start); took != endpoint.Timeout {
					t.Errorf("took %v, want %v", took, endpoint.Timeout)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error("errors.Is does not find context.DeadlineExceeded")
				}
			})
		})
	}
}

// drip writes one byte per second, until the client closes the connection.
func (v *visit) drip(text string) {
	closed := make(chan struct{})
	go func() {
		v.wait()
		close(closed)
	}()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for i := range len(text) {
		select {
		case <-ticker.C:
			v.write(text[i : i+1])
		case <-closed:
			return
		}
	}
}

func TestWithoutATimeoutThirtySecondsAreGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault(t, nil)
		start := time.Now()
		_, err := v.client(t).Refresh(t.Context(), "Refresh")
		wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: TimedOut})
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("took %v, want 30s", took)
		}
	})
}

func TestTheCallersContextEndsTheGrant(t *testing.T) {
	past := time.Unix(0, 0)
	for _, test := range []struct {
		name  string
		end   func(context.Context) (context.Context, context.CancelFunc)
		cause Cause
		is    error
	}{
		{"canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			return canceled, cancel
		}, Canceled, context.Canceled},
		{"canceled with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			canceled, cancel := context.WithCancelCause(ctx)
			cancel(errors.New("losing the lease"))
			return canceled, func() { cancel(nil) }
		}, Canceled, context.Canceled},
		{"expired", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadline(ctx, past)
		}, TimedOut, context.DeadlineExceeded},
		{"expired with a cause", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadlineCause(ctx, past, errors.New("too late"))
		}, TimedOut, context.DeadlineExceeded},
	} {
		t.Run(test.name+" before it began", func(t *testing.T) {
			ctx, cancel := test.end(t.Context())
			defer cancel()
			v := newVault(t, nil)
			_, err := v.client(t).Authenticate(ctx, goodCredentials())
			wantError(t, err, Error{Operation: PasswordGrant, Kind: NotSent, Cause: test.cause})
			if !errors.Is(err, test.is) {
				t.Errorf("errors.Is does not find %v", test.is)
			}
			if dials, _ := v.seen(); dials != 0 {
				t.Error("a connection was opened")
			}
		})
	}
	t.Run("canceled while the server thinks", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		v := newVault(t, func(visit *visit) {
			visit.request()
			stop()
			visit.wait()
		})
		_, err := v.client(t).Authenticate(ctx, goodCredentials())
		wantError(t, err, Error{Operation: PasswordGrant, Kind: Ambiguous, Cause: Canceled})
	})
	t.Run("canceled in the body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			v := newVault(t, func(visit *visit) {
				_ = visit.request() && visit.write("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"+goodAnswer)
				synctest.Wait() // the client has read all of it
				stop()
				visit.wait()
			})
			_, err := v.client(t).Authenticate(ctx, goodCredentials())
			wantError(t, err, Error{Operation: PasswordGrant, Kind: Ambiguous, Cause: Canceled, Status: 200})
		})
	})
}
