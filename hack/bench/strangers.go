package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	strangersNamespace = "strangers"
	// foreignSize is that of a Secret which is not the operator's, in bytes.
	foreignSize = 4 << 10
	// copiesAtOnce are written to etcd in one transaction, which holds 128 operations at most, and 1.5 MiB.
	copiesAtOnce = 100
)

func strangerName(i int) string { return fmt.Sprintf("release-%05d", i) }

// strangers makes Secrets that are not the operator's. The API server would take minutes for so many, and nothing is measured
// meanwhile. So it makes the first, and etcd is given copies of what it stored, each with a name and a UID of its own.
func (w *world) strangers(ctx context.Context, count int) error {
	if count == 0 {
		return nil
	}
	first, err := w.makeStranger(ctx)
	if err != nil {
		return err
	}
	e := etcd(w.plane.EtcdURL())
	stored, err := e.get(ctx, strangerKey(0))
	if err != nil {
		return err
	}
	batches := (count - 1 + copiesAtOnce - 1) / copiesAtOnce
	if err := each(ctx, batches, func(ctx context.Context, batch int) error {
		values := map[string][]byte{}
		for i := 1 + batch*copiesAtOnce; i < min(1+(batch+1)*copiesAtOnce, count); i++ {
			named := bytes.ReplaceAll(stored, []byte(first.Name), []byte(strangerName(i)))
			values[strangerKey(i)] = bytes.ReplaceAll(named, []byte(first.UID), []byte(uuid.NewUUID()))
		}
		return e.put(ctx, values)
	}); err != nil {
		return err
	}
	return w.knowStranger(ctx, count-1, first)
}

// strangerKey is where the API server stores one.
func strangerKey(i int) string {
	return "/registry/secrets/" + strangersNamespace + "/" + strangerName(i)
}

// makeStranger makes the first.
func (w *world) makeStranger(ctx context.Context) (*corev1.Secret, error) {
	if err := w.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: strangersNamespace}}); err != nil {
		return nil, err
	}
	first := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: strangersNamespace, Name: strangerName(0),
			Labels:      map[string]string{"app.kubernetes.io/name": "stranger", "owner": "helm", "status": "deployed"},
			Annotations: map[string]string{"example.com/checksum": strings.Repeat("0", 64)},
		},
		Data: map[string][]byte{"release": []byte(strings.Repeat("x", foreignSize))},
	}
	return first, w.admin.Create(ctx, first)
}

// knowStranger holds one, as the API server has it, against the first.
func (w *world) knowStranger(ctx context.Context, i int, first *corev1.Secret) error {
	copied := &corev1.Secret{}
	if err := w.admin.Get(ctx, client.ObjectKey{Namespace: strangersNamespace, Name: strangerName(i)}, copied); err != nil {
		return fmt.Errorf("read a copied Secret: %w", err)
	}
	if copied.Size() != first.Size() {
		return fmt.Errorf("the copy %s has %d bytes, and %s has %d", copied.Name, copied.Size(), first.Name, first.Size())
	}
	return nil
}

// An etcd is the URL of one.
type etcd string

// get reads one key.
func (e etcd) get(ctx context.Context, key string) ([]byte, error) {
	var found struct {
		KVs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	if err := e.call(ctx, "range", map[string]any{"key": []byte(key)}, &found); err != nil {
		return nil, err
	}
	if len(found.KVs) != 1 {
		return nil, fmt.Errorf("etcd has no %s: the API server stores it elsewhere", key)
	}
	return found.KVs[0].Value, nil
}

// put writes keys at once.
func (e etcd) put(ctx context.Context, values map[string][]byte) error {
	operations := make([]any, 0, len(values))
	for key, value := range values {
		operations = append(operations, map[string]any{"requestPut": map[string]any{"key": []byte(key), "value": value}})
	}
	return e.call(ctx, "txn", map[string]any{"success": operations}, nil)
}

// call asks etcd in JSON, which spares its client library.
func (e etcd) call(ctx context.Context, what string, question map[string]any, into any) error {
	answer, err := ask(ctx, http.MethodPost, string(e)+"/v3/kv/"+what, jsonOf(question))
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}
