package controllers

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// overtaken is a cache that the watch brings up to date just after something was read from it.
type overtaken struct {
	client.Reader

	watch func()
}

func (o overtaken) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	o.watch()
	return nil
}

func TestACopyFromBeforeOurOwnWriteIsNotTakenForTheNewest(t *testing.T) {
	name := types.NamespacedName{Namespace: "payments", Name: "billing"}
	r := &Reconciler{clock: clocktesting.NewFakeClock(noon), memory: newMemory()}
	r.expectations = newExpectations(r.clock)
	own := object{sessionObject, name}
	r.expectations.wrote(own, "5", func() string { return "4" })
	r.cache = overtaken{watch: func() { r.expectations.observed(own, "5") }}
	if _, err := r.observe(t.Context(), name); !errors.Is(err, errBehind) {
		t.Errorf("observed with %v, want %v", err, errBehind)
	}
}
