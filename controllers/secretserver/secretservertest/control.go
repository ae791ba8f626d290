package secretservertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Control is an HTTP API to drive the server from another process. It is not part
// of Secret Server, has no authentication, and belongs on loopback only. Bodies
// are JSON:
//
//	GET    /ca                          {"ca":"..."}, the PEM certificate to trust; empty without TLS
//	GET    /stats                       Stats
//	DELETE /stats                       counts from zero again
//	GET    /journal                     a list of Entry
//	GET    /faults                      a list of Fault
//	POST   /faults                      one Fault, or a list
//	DELETE /faults
//	GET    /configure                   {"token-lifetime":"20m0s",...}
//	POST   /configure                   the same, any part of it; see Options.Flags
//	POST   /accounts                    an Account, new or changed
//	POST   /accounts/{user}/password    {"password":"..."}
//	POST   /accounts/{user}/unlock
//	GET    /accounts/{user}/locked      {"locked":false}
//	POST   /accounts/{user}/tokens      {"access":"...","refresh":"..."}, as if a login had been answered with them
//	POST   /token-valid                 {"token":"..."}, answered {"valid":true}
//	POST   /expire-token                {"token":"..."}, answered {"expired":true}
//	POST   /revoke-all                  answered {"tokens":2}
//	POST   /down                        refuse connections
//	POST   /up                          accept them again
//
// Errors are {"error":"..."}, with 400 for a request that makes no sense and 404
// for an account that does not exist.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			value, err := answer(r)
			writeControl(w, value, err)
		})
	}
	handle("GET /ca", func(*http.Request) (any, error) { return map[string]string{"ca": string(s.CA())}, nil })
	handle("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	handle("DELETE /stats", does(s.ResetStats))
	handle("GET /journal", func(*http.Request) (any, error) { return s.Journal(), nil })
	handle("GET /faults", func(*http.Request) (any, error) { return s.Faults(), nil })
	handle("POST /faults", s.controlFaults)
	handle("DELETE /faults", does(s.ClearFaults))
	handle("GET /configure", func(*http.Request) (any, error) { return s.Options().settings(), nil })
	handle("POST /configure", s.controlConfigure)
	handle("POST /accounts", s.controlAccount)
	handle("POST /accounts/{user}/password", s.controlPassword)
	handle("POST /accounts/{user}/tokens", s.controlTokens)
	handle("POST /accounts/{user}/unlock", func(r *http.Request) (any, error) {
		return nothing{}, found(s.Unlock(r.PathValue("user")))
	})
	handle("GET /accounts/{user}/locked", func(r *http.Request) (any, error) {
		user := r.PathValue("user")
		exists := s.withAccount(user, func(*account) {})
		return map[string]bool{"locked": s.Locked(user)}, found(exists)
	})
	handle("POST /token-valid", aboutToken("valid", s.TokenValid))
	handle("POST /expire-token", aboutToken("expired", s.ExpireToken))
	handle("POST /revoke-all", func(*http.Request) (any, error) {
		return map[string]int{"tokens": s.RevokeAll()}, nil
	})
	handle("POST /down", does(s.Down))
	handle("POST /up", func(*http.Request) (any, error) { return nothing{}, s.Up() })
	return mux
}

// nothing is the answer to a request that asks for no value.
type nothing struct{}

var errNoAccount = errors.New("no such account")

func found(ok bool) error {
	if !ok {
		return errNoAccount
	}
	return nil
}

func does(act func()) func(*http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		act()
		return nothing{}, nil
	}
}

func aboutToken(name string, ask func(string) bool) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var body struct {
			Token string `json:"token"`
		}
		err := readControl(r, &body)
		if err == nil && body.Token == "" {
			err = &controlError{"token is missing"}
		}
		if err != nil {
			return nil, err
		}
		return map[string]bool{name: ask(body.Token)}, nil
	}
}

func (s *Server) controlFaults(r *http.Request) (any, error) {
	var raw json.RawMessage
	if err := readControl(r, &raw); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(raw, []byte("[")) {
		raw = append(append([]byte("["), raw...), ']')
	}
	var list []Fault
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, &controlError{err.Error()}
	}
	for i := range list {
		if err := list[i].Validate(); err != nil {
			return nil, &controlError{err.Error()}
		}
	}
	s.Inject(list...)
	return s.Faults(), nil
}

func (s *Server) controlConfigure(r *http.Request) (any, error) {
	var body map[string]any
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for name, value := range body {
		values[name] = fmt.Sprint(value) // numbers and booleans as flags spell them
	}
	if err := s.configure(func(o *Options) error { return o.set(values) }); err != nil {
		return nil, &controlError{err.Error()}
	}
	return s.Options().settings(), nil
}

func (s *Server) controlAccount(r *http.Request) (any, error) {
	var a Account
	if err := readControl(r, &a); err != nil {
		return nil, err
	}
	if err := s.AddAccount(a); err != nil {
		return nil, &controlError{err.Error()}
	}
	return nothing{}, nil
}

func (s *Server) controlPassword(r *http.Request) (any, error) {
	var body struct {
		Password *string `json:"password"`
	}
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	if body.Password == nil {
		return nil, &controlError{"password is missing"}
	}
	return nothing{}, found(s.SetPassword(r.PathValue("user"), *body.Password))
}

func (s *Server) controlTokens(r *http.Request) (any, error) {
	var body struct {
		Access  string `json:"access"`
		Refresh string `json:"refresh"`
	}
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	if body.Access == "" || body.Refresh == "" || body.Access == body.Refresh {
		return nil, &controlError{"two different tokens are wanted: access and refresh"}
	}
	return nothing{}, found(s.Plant(r.PathValue("user"), body.Access, body.Refresh))
}

// controlError is a control request that makes no sense.
type controlError struct{ reason string }

func (e *controlError) Error() string { return e.reason }

// readControl reads one JSON value with the known fields only.
func readControl(r *http.Request, into any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxRequestBody))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return &controlError{err.Error()}
	}
	return nil
}

func writeControl(w http.ResponseWriter, value any, err error) {
	status := http.StatusOK
	if err != nil {
		var bad *controlError
		switch {
		case errors.Is(err, errNoAccount):
			status = http.StatusNotFound
		case errors.As(err, &bad):
			status = http.StatusBadRequest
		default:
			status = http.StatusInternalServerError
		}
		value = map[string]string{"error": err.Error()}
	}
	answer := jsonReply(status, "", value)
	answer.write(w)
}
