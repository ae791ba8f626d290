package failover

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A request is one that the API server has answered, as its audit log tells.
type request struct {
	Verb      string    `json:"verb"`
	UserAgent string    `json:"userAgent"`
	Object    object    `json:"objectRef"`
	Status    outcome   `json:"responseStatus"`
	Received  time.Time `json:"requestReceivedTimestamp"`
	Answered  time.Time `json:"stageTimestamp"`
}

type object struct {
	Resource string `json:"resource"`
	Name     string `json:"name"`
}

type outcome struct {
	Code int `json:"code"`
}

// requests are all that a replica made about objects in the namespace, or in all of them, in the order of their answers.
func (w *world) requests(t *testing.T, version string) []request {
	t.Helper()
	log, err := os.ReadFile(shared.audit)
	if err != nil {
		t.Fatal(err)
	}
	var found []request
	for line := range strings.Lines(string(log)) {
		if !strings.Contains(line, w.namespace) || !strings.HasSuffix(line, "\n") {
			continue
		}
		var r request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("audit log: %v", err)
		}
		// client-go names the program, and not the version, for its election.
		if r.UserAgent == "secret-server-operator/"+version || strings.HasPrefix(r.UserAgent, "manager-"+version+"/") {
			found = append(found, r)
		}
	}
	return found
}

// writesAfter are a replica's writes that succeeded, other than those of the election and of events.
func (w *world) writesAfter(t *testing.T, version string, moment time.Time) []request {
	t.Helper()
	return slices.DeleteFunc(w.requests(t, version), func(r request) bool {
		return r.Received.Before(moment) || r.Status.Code >= 300 ||
			!slices.Contains([]string{"create", "update", "patch", "delete"}, r.Verb) ||
			slices.Contains([]string{"leases", "events"}, r.Object.Resource)
	})
}
