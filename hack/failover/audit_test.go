package failover

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A request is one that the API server has answered, as its audit log tells.
type request struct {
	Verb      string
	UserAgent string
	ObjectRef struct{ Resource, Namespace, Name string }
	Status    struct{ Code int } `json:"responseStatus"`
	Received  time.Time          `json:"requestReceivedTimestamp"`
	Answered  time.Time          `json:"stageTimestamp"`
}

// requests are all that a replica made about objects in the namespace, or in all of them, in the order of their answers.
func (w *world) requests(t *testing.T, version string) []request {
	t.Helper()
	file, err := os.Open(shared.audit)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var found []request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), w.namespace) {
			continue
		}
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("audit log: %v", err)
		}
		// client-go names the program, and not the version, for its election.
		if r.UserAgent == "secret-server-operator/"+version || strings.HasPrefix(r.UserAgent, "manager-"+version+"/") {
			found = append(found, r)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// writesAfter are a replica's writes that succeeded, other than those of the election and of events.
func (w *world) writesAfter(t *testing.T, version string, moment time.Time) []request {
	t.Helper()
	return slices.DeleteFunc(w.requests(t, version), func(r request) bool {
		return r.Received.Before(moment) || r.Status.Code >= 300 ||
			!slices.Contains([]string{"create", "update", "patch", "delete"}, r.Verb) ||
			slices.Contains([]string{"leases", "events"}, r.ObjectRef.Resource)
	})
}
