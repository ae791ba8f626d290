package controllers

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// turn finds what the log tells of a pass after which a session stands otherwise than before: the condition that says most
// of what is so now. Refreshable is left out, since it turns in the routine of each login; so are messages.
func turn(before, after api.SecretServerSessionStatus) (now metav1.Condition, turned bool) {
	for _, kind := range []string{api.ConditionStalled, api.ConditionReconciling, api.ConditionReady} {
		was, is := conditionNamed(before, kind), conditionNamed(after, kind)
		turned = turned || was.Status != is.Status || was.Reason != is.Reason
		if now.Type == "" && is.Type != "" {
			now = is
		}
	}
	return now, turned
}

// conditionNamed is a condition; the zero one if it is absent.
func conditionNamed(s api.SecretServerSessionStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// logTurn writes the line of a turn, unless an event of the same pass has told of it.
func logTurn(ctx context.Context, before, after api.SecretServerSessionStatus, told []transition) {
	if now, turned := turn(before, after); turned && !tells(told, now) {
		log.FromContext(ctx).Info(now.Message, "condition", now.Type, "status", now.Status, "reason", now.Reason)
	}
}

// tells reports whether the events of a pass say already what the condition says. The repair of a target is no turn; and that
// a person must act is told by a warning or not at all: the event of a login beside it would hide it.
func tells(told []transition, now metav1.Condition) bool {
	return slices.ContainsFunc(told, func(e transition) bool {
		if now.Type == api.ConditionStalled {
			return e.kind == corev1.EventTypeWarning
		}
		return e.reason != api.EventTargetRepaired
	})
}
