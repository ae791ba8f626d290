package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// The account of the documents, at https://vault.example.com/SecretServer.
const (
	username = "svc-billing"
	password = "the password that the pages ask for"
)

// domain is where every host is the fake Secret Server.
const domain = ".example.com"

// A vault is a fake Secret Server that has the names of the documents, for those who ask the proxy for them.
type vault struct {
	server *secretservertest.Server
	proxy  *http.Server
	listen net.Listener
}

func openVault(ctx context.Context) (*vault, error) {
	v := &vault{server: secretservertest.New(secretservertest.Options{
		BasePath: "/SecretServer",
		Hosts:    []string{"*" + domain},
		Accounts: []secretservertest.Account{{Username: username, Password: password}},
	})}
	if err := v.server.StartTLS(); err != nil {
		return nil, err
	}
	var err error
	if v.listen, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		v.server.Close()
		return nil, err
	}
	v.proxy = &http.Server{Handler: http.HandlerFunc(v.connect), ReadHeaderTimeout: time.Minute}
	go v.proxy.Serve(v.listen) //nolint:errcheck // it ends with close
	return v, nil
}

func (v *vault) close() error {
	err := v.proxy.Close()
	v.server.Close()
	return err
}

// proxyURL is for HTTPS_PROXY.
func (v *vault) proxyURL() string { return "http://" + v.listen.Addr().String() }

// connect serves CONNECT to hosts of the domain, and to no others: no document reaches out of this machine.
func (v *vault) connect(w http.ResponseWriter, r *http.Request) {
	if host, _, err := net.SplitHostPort(r.Host); err != nil || r.Method != http.MethodConnect || !strings.HasSuffix(host, domain) {
		http.Error(w, "only CONNECT to hosts of "+domain, http.StatusForbidden)
		return
	}
	address := strings.TrimPrefix(v.server.URL(), "https://")
	address, _, _ = strings.Cut(address, "/")
	server, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close() //nolint:errcheck // both directions have ended
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close() //nolint:errcheck // both directions have ended
	if _, err := client.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(server, buffered) //nolint:errcheck // a connection that breaks is the client's affair
		server.Close()            //nolint:errcheck // so that the other direction ends
	}()
	io.Copy(client, server) //nolint:errcheck // as above
	client.Close()          //nolint:errcheck // as above
	<-done
}
