package secretserver

import (
	"bytes"
	"fmt"
	"log"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// What follows an answer may be the rest of it, if its length was stated wrongly, or another session's: net/http logs it.
func TestWhatFollowsAnAnswerIsNotLogged(t *testing.T) {
	short := "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + goodAnswer[:20]
	good := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodAnswer), goodAnswer)
	for _, test := range []struct {
		name   string
		answer string
	}{
		{"after a grant that is cut short", short},
		{"after a grant", good},
		{"after a grant in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n"},
		{"after a refusal", "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"},
		{"after a refusal without a body", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"},
	} {
		for _, proxy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, proxy %t", test.name, proxy), func(t *testing.T) {
				var logged lines
				before := log.Writer()
				log.SetOutput(&logged)
				defer log.SetOutput(before)
				synctest.Test(t, func(t *testing.T) {
					v := newVault(t, func(visit *visit) {
						if visit.request() {
							go visit.write(test.answer + strings.Repeat(markedToken, 1000))
							visit.wait()
						}
					})
					v.proxy = proxy
					_, err := v.client(t).Refresh(t.Context(), "Refresh")
					if (err == nil) != (test.answer == good) {
						t.Errorf("error is %v", err)
					}
					synctest.Wait() // net/http has found what follows
				})
				if got := logged.String(); strings.Contains(got, markedToken[:2]) {
					t.Errorf("logged: %s", got)
				}
			})
		}
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAnAddressWithoutAPortIsNotDialed(t *testing.T) {
	v := newVault(t, nil)
	if _, err := v.pool(t).dialTLS(nil)(t.Context(), "tcp", vaultHost); err == nil {
		t.Error("no error")
	}
	if dials, _ := v.seen(); dials != 0 {
		t.Error("a connection was opened")
	}
}
