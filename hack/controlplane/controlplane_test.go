package controlplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tokensync.dev/secret-server-operator/hack/controlplane"
)

// patience bounds what takes seconds on an idle machine.
const patience = time.Minute

// assets returns the directory of the programs: that of the environment, or the
// one that build.sh makes.
func assets(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../../bin/k8s")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kube-apiserver")); errors.Is(err, fs.ErrNotExist) {
		t.Skip("KUBEBUILDER_ASSETS is not set and bin/k8s has no kube-apiserver: run hack/controlplane/build.sh first")
	}
	return dir
}

func start(t *testing.T, options controlplane.Options) *controlplane.Cluster {
	t.Helper()
	options.AssetsDir = assets(t)
	cluster, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return cluster
}

func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t *testing.T, c client.Client, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
	}
}

func eventually(t *testing.T, what string, holds func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, holds); err != nil {
		t.Fatalf("%s: not within %v: %v", what, patience, err)
	}
}

func eventuallyGone(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	eventually(t, object.GetName()+" is gone", func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, client.ObjectKeyFromObject(object), object)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}

func TestCluster(t *testing.T) {
	auditLog := filepath.Join(t.TempDir(), "audit.log")
	cluster := start(t, controlplane.Options{CRDPaths: []string{"testdata"}, AuditLog: auditLog})
	admin := clientFor(t, cluster.Config())

	t.Run("what a custom resource owns goes with it", func(t *testing.T) {
		widget := &unstructured.Unstructured{}
		widget.SetGroupVersionKind(schema.GroupVersionKind{Group: "controlplane.test", Version: "v1", Kind: "Widget"})
		widget.SetNamespace("default")
		widget.SetName("owner")
		create(t, admin, widget)

		meta := metav1.ObjectMeta{Namespace: "default", Name: "owned", OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(widget, widget.GroupVersionKind()),
		}}
		secret, configMap := &corev1.Secret{ObjectMeta: meta}, &corev1.ConfigMap{ObjectMeta: meta}
		stranger := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "not-owned"}}
		create(t, admin, secret, configMap, stranger)

		if err := admin.Delete(t.Context(), widget); err != nil {
			t.Fatal(err)
		}
		eventuallyGone(t, admin, secret)
		eventuallyGone(t, admin, configMap)
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(stranger), stranger); err != nil {
			t.Errorf("a Secret without an owner is to stay: %v", err)
		}
	})

	t.Run("a deleted namespace ends", func(t *testing.T) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "short-lived"}}
		create(t, admin, namespace)
		create(t, admin, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "short-lived", Name: "content"}})
		if err := admin.Delete(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
		eventuallyGone(t, admin, namespace)
	})

	t.Run("a user has no rights until bound", func(t *testing.T) {
		config, err := cluster.AddUser("alice", "readers")
		if err != nil {
			t.Fatal(err)
		}
		alice := clientFor(t, config)
		if err := alice.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
			t.Fatalf("alice lists Secrets before anybody lets her: %v, want forbidden", err)
		}
		create(t, admin,
			&rbacv1.ClusterRole{
				ObjectMeta: metav1.ObjectMeta{Name: "readers"},
				Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}}},
			},
			&rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "readers"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "readers"},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "readers"}},
			})
		eventually(t, "alice lists Secrets, through her group", func(ctx context.Context) (bool, error) {
			err := alice.List(ctx, &corev1.SecretList{})
			if apierrors.IsForbidden(err) {
				return false, nil
			}
			return err == nil, err
		})
		if err := alice.List(t.Context(), &corev1.ConfigMapList{}); !apierrors.IsForbidden(err) {
			t.Errorf("alice lists ConfigMaps: %v, want forbidden", err)
		}
	})

	t.Run("another process acts as a user with a kubeconfig of its own", func(t *testing.T) {
		bob, err := cluster.AddUser("bob")
		if err != nil {
			t.Fatal(err)
		}
		path, err := cluster.KubeconfigFor(bob)
		if err != nil {
			t.Fatal(err)
		}
		for want, kubeconfig := range map[string]string{"bob": path, "admin": cluster.KubeconfigPath()} {
			info, err := os.Stat(kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the kubeconfig of %s has mode %v, want 0600", want, info.Mode())
			}
			whoami := []string{"--kubeconfig=" + kubeconfig, "auth", "whoami", "--output=jsonpath={.status.userInfo.username}"}
			out, err := exec.CommandContext(t.Context(), cluster.Kubectl(), whoami...).CombinedOutput() //nolint:gosec // it is the test's
			if err != nil || string(out) != want {
				t.Errorf("kubectl auth whoami says %q (%v), want %q", out, err, want)
			}
		}
	})

	t.Run("the API server comes back with the objects, the address and the users it had", func(t *testing.T) {
		kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}}
		create(t, admin, kept)
		if cluster.ProcessID("kube-apiserver") == 0 {
			t.Error("no process ID of a program that runs")
		}
		if err := cluster.StopAPIServer(); err != nil {
			t.Fatal(err)
		}
		if id := cluster.ProcessID("kube-apiserver"); id != 0 {
			t.Errorf("process ID %d of a program that does not run", id)
		}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err == nil {
			t.Fatal("the API server answers while it is stopped")
		}
		if err := cluster.StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil {
			t.Fatal(err)
		}
		if err := cluster.StartAPIServer(t.Context()); err == nil {
			t.Error("StartAPIServer says nothing against starting a second one")
		}
	})

	t.Run("etcd comes back with its data", func(t *testing.T) {
		kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept-by-etcd"}}
		create(t, admin, kept)
		if err := cluster.StopEtcd(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := admin.Update(ctx, kept.DeepCopy()); err == nil {
			t.Fatal("something is written while etcd is stopped")
		}
		if err := cluster.StartEtcd(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil {
			t.Fatal(err)
		}
		if err := cluster.StartEtcd(t.Context()); err == nil {
			t.Error("StartEtcd says nothing against starting a second one")
		}
	})

	t.Run("the audit log has a line for each request", func(t *testing.T) {
		config, err := cluster.AddUser("carol")
		if err != nil {
			t.Fatal(err)
		}
		carol := clientFor(t, config)
		before := auditedSecretRequests(t, auditLog, "carol")
		for range 3 {
			if err := carol.List(t.Context(), &corev1.SecretList{}); !apierrors.IsForbidden(err) {
				t.Fatalf("carol lists Secrets: %v, want forbidden", err)
			}
		}
		if got := auditedSecretRequests(t, auditLog, "carol") - before; got != 3 {
			t.Errorf("the audit log counts %d requests, want 3", got)
		}
	})
}

// auditedSecretRequests counts a user's requests for Secrets.
func auditedSecretRequests(t *testing.T, path, user string) int {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range bytes.Lines(log) {
		var event struct {
			User struct {
				Username string `json:"username"`
			} `json:"user"`
			ObjectRef struct {
				Resource string `json:"resource"`
			} `json:"objectRef"`
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("audit log: %v in %q", err, line)
		}
		if event.User.Username == user && event.ObjectRef.Resource == "secrets" {
			count++
		}
	}
	return count
}

func TestStopLeavesNoProcessAndNoFile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc to find processes, which this system does not have")
	}
	cluster := start(t, controlplane.Options{})
	dir := filepath.Dir(cluster.KubeconfigPath())
	if running := processesThatName(t, dir); len(running) != 3 {
		t.Fatalf("%d processes name %s, want etcd, kube-apiserver and kube-controller-manager: %q", len(running), dir, running)
	}

	for range 2 { // the second does nothing
		if err := cluster.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if left := processesThatName(t, dir); len(left) != 0 {
		t.Errorf("still running: %q", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
	if err := cluster.StartAPIServer(t.Context()); err == nil {
		t.Error("StartAPIServer works after Stop")
	}
}

// processesThatName returns the command lines that contain dir.
func processesThatName(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), dir) { // an error: it ended meanwhile
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestDataDirOutlivesStop(t *testing.T) {
	options := controlplane.Options{DataDir: t.TempDir(), LogDir: t.TempDir(), NoControllerManager: true}
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}}
	first := start(t, options)
	create(t, clientFor(t, first.Config()), kept)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	second := clientFor(t, start(t, options).Config())
	if err := second.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil {
		t.Errorf("a second cluster with the same data: %v", err)
	}
	for _, name := range []string{"etcd.log", "kube-apiserver.log"} {
		if info, err := os.Stat(filepath.Join(options.LogDir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s says nothing after Stop (%v)", name, err)
		}
	}
}

func TestStartFails(t *testing.T) {
	t.Run("without programs, with what to do", func(t *testing.T) {
		_, err := controlplane.Start(t.Context(), controlplane.Options{AssetsDir: t.TempDir()})
		if !errors.Is(err, controlplane.ErrNoAssets) || !strings.Contains(err.Error(), "build.sh") {
			t.Errorf("got %v, want ErrNoAssets", err)
		}
	})

	t.Run("with the last words of the program at fault, and leaves nothing", func(t *testing.T) {
		temp := t.TempDir()
		t.Setenv("TMPDIR", temp)
		_, err := controlplane.Start(t.Context(), controlplane.Options{
			AssetsDir:      assets(t),
			APIServerFlags: map[string]string{"no-such-flag": "true"},
		})
		if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
			t.Errorf("got %v, want kube-apiserver's own words", err)
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
			t.Errorf("left in the temporary directory: %v (%v)", left, err)
		}
		if left := processesThatName(t, temp); len(left) != 0 {
			t.Errorf("still running: %q", left)
		}
	})
}
