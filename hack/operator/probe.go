package operator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// errNotServed answers who asks a process that was started without Options.Serve.
var errNotServed = errors.New("the operator was started without metrics and probes")

// longestPage bounds what is read of an answer.
const longestPage = 8 << 20

// Metrics are the series of a metrics page. A series is named as the page does it: secretserversession_grants_total{...}.
type Metrics map[string]float64

// Sum adds up all series of a metric, whatever their labels; 0 if there is none.
func (m Metrics) Sum(metric string) float64 {
	sum := 0.0
	for series, value := range m {
		if name, _, _ := strings.Cut(series, "{"); name == metric {
			sum += value
		}
	}
	return sum
}

// Metrics reads the metrics page.
func (p *Process) Metrics(ctx context.Context) (Metrics, error) {
	page, err := get(ctx, p.metrics, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(page)
}

// Healthy asks the liveness probe; an error is its answer, or that there is none.
func (p *Process) Healthy(ctx context.Context) error {
	_, err := get(ctx, p.probes, "/healthz")
	return err
}

// Ready asks the readiness probe; an error is its answer, or that there is none.
func (p *Process) Ready(ctx context.Context) error {
	_, err := get(ctx, p.probes, "/readyz")
	return err
}

// get reads a page of a process, within the context's time.
func get(ctx context.Context, address, path string) (page string, err error) {
	if address == "" {
		return "", errNotServed
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return "", err
	}
	// A connection that is kept would be one to a process that may be gone.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, longestPage))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", path, response.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}

// parseMetrics reads Prometheus's text format, without time stamps: the operator's page has none.
func parseMetrics(page string) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(strings.NewReader(page))
	lines.Buffer(nil, longestPage)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		end := strings.LastIndexByte(line, ' ') // a label's value may hold blanks
		if end < 0 {
			return nil, fmt.Errorf("metrics page: %q has no value", line)
		}
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics page: %w", err)
		}
		m[line[:end]] = value
	}
	return m, lines.Err()
}

// twoFreeAddresses are different loopback addresses that nobody listened at a moment ago.
func twoFreeAddresses(ctx context.Context) (a, b string, err error) {
	var listening net.ListenConfig
	first, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	second, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", errors.Join(err, first.Close())
	}
	return first.Addr().String(), second.Addr().String(), errors.Join(first.Close(), second.Close())
}
