package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=secretserver.tokensync.dev,resources=secretserversessions,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=secretserver.tokensync.dev,resources=secretserversessions/status,verbs=patch
// +kubebuilder:rbac:groups=secretserver.tokensync.dev,resources=secretserversessions/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// Setup adds the reconciler, and the checks of its liveness, to a manager whose cache was made with CacheOptions, and whose scheme
// has the kinds of core/v1, events.k8s.io/v1 and package v1alpha1.
func Setup(ctx context.Context, mgr ctrl.Manager, options Options, dial Dialer, c clock.Clock) error {
	timeout := cmp.Or(options.RequestTimeout, requestTimeout)
	live, err := newLiveClient(mgr, timeout)
	if err != nil {
		return fmt.Errorf("make the API client: %w", err)
	}
	queue := &wakeableQueue{}
	outages := newOutages(c, quiet(mgr.GetLogger()), queue)
	m, err := newMetrics(options.Metrics, outages.count)
	if err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	if err := options.Metrics.Register(newCensus(mgr.GetCache(), leading(mgr.Elected(), options.Leading))); err != nil {
		return fmt.Errorf("register the metrics of the sessions: %w", err)
	}
	places := newGate(placesOf(options), queue.admit)
	crowded := func() bool { return places.waits() > options.MaxConcurrentReconciles }
	events := newAnnouncer(live, c, timeout, m.event, crowded, quiet(mgr.GetLogger()), mgr.GetCache())
	if err := mgr.Add(events); err != nil {
		return fmt.Errorf("add the announcer of events: %w", err)
	}
	r := &Reconciler{
		options:      options,
		clock:        c,
		dial:         dial,
		events:       events,
		live:         live,
		cache:        mgr.GetCache(),
		look:         queue.look,
		accounts:     newAccounts(options.RejectedCredentialsRetry),
		places:       places,
		outages:      outages,
		revocations:  newRevocations(),
		bundles:      newBundles(),
		expectations: newExpectations(c),
		codes:        newCodes(),
		identities:   newIdentities(),
		memory:       newMemory(),
		verified:     newVerifications(),
		metrics:      m,
		liveness:     newLiveness(SystemClocks(c), queue.due, mgr.Elected()),
		waits:        flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(waitsTold, waitsTold, c),
	}
	if err := r.liveness.addTo(mgr); err != nil {
		return fmt.Errorf("add the liveness checks: %w", err)
	}
	if err := mgr.Add(newStartup(mgr, queue.due, c)); err != nil {
		return fmt.Errorf("add what gives back the memory of the start: %w", err)
	}
	return r.watch(ctx, mgr, queue)
}

// requestTimeout bounds a request to the API server. One that is never answered must not keep a worker for ever; the
// requests are small, and an API server that needs longer is in trouble.
const requestTimeout = 15 * time.Second

// newLiveClient makes a client that reads and writes the API server itself. The manager's own would start to cache each
// kind that is read, and must not be bounded, since it watches.
func newLiveClient(mgr ctrl.Manager, timeout time.Duration) (client.Client, error) {
	config := rest.CopyConfig(mgr.GetConfig())
	config.Timeout = timeout
	bounded, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{HTTPClient: bounded, Scheme: mgr.GetScheme(), Mapper: newMapper()})
}

// newMapper tells the resources of the kinds that the live client reads and writes. They are fixed: the manager's own, which asks the
// API server what it serves, goes through all of that at each status.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{
		api.SchemeGroupVersion.WithKind(api.Kind),
		corev1.SchemeGroupVersion.WithKind(secretKind),
		corev1.SchemeGroupVersion.WithKind(configMapKind),
		eventsv1.SchemeGroupVersion.WithKind("Event"),
	} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	return mapper
}

// watch says what brings a session back to the queue.
func (r *Reconciler) watch(ctx context.Context, mgr ctrl.Manager, queue *wakeableQueue) error {
	if err := indexReferences(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("secretserversession").
		For(&api.SecretServerSession{}, builder.WithPredicates(r.sessionChanges())).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.sessionsOfSecret), builder.WithPredicates(r.secretChanges())).
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.sessionsOfConfigMap), builder.WithPredicates(versionChanges())).
		WatchesRawSource(source.Func(queue.start)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.options.MaxConcurrentReconciles,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, longestRetry),
			// A standby keeps its caches warm, so that it can take over at once.
			EnableWarmup: new(true),
			LogConstructor: func(request *reconcile.Request) logr.Logger {
				logger := quiet(mgr.GetLogger())
				if request == nil {
					return logger
				}
				return logger.WithValues("namespace", request.Namespace, "name", request.Name)
			},
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	return nil
}

// Retries of a pass that the API server did not let finish.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 30 * time.Second
)

// Indexes of the sessions by the objects that they name.
const (
	indexSecret    = "secret"
	indexConfigMap = "configMap"
	// indexAccount finds state Secrets by the accounts that their records speak of, indexOwner the Secrets of a session
	// by its UID.
	indexAccount = "account"
	indexOwner   = "owner"
)

func indexReferences(ctx context.Context, indexer client.FieldIndexer) error {
	indexes := map[string]func(*api.SecretServerSession) []string{
		indexSecret:    secretsOf,
		indexConfigMap: configMapsOf,
	}
	for name, references := range indexes {
		err := indexer.IndexField(ctx, &api.SecretServerSession{}, name, func(o client.Object) []string {
			return references(o.(*api.SecretServerSession)) //nolint:forcetypeassert // the index is of this type alone
		})
		if err != nil {
			return fmt.Errorf("index sessions by %s: %w", name, err)
		}
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(secretKind))
	for name, values := range map[string]func(metav1.Object) []string{indexAccount: accountsOf, indexOwner: ownerOf} {
		if err := indexer.IndexField(ctx, metadata, name, func(o client.Object) []string { return values(o) }); err != nil {
			return fmt.Errorf("index Secrets by %s: %w", name, err)
		}
	}
	return nil
}

// ownerOf is the UID of the session that controls a Secret, for the index. Those whose names follow from the session's are left
// out: they are found without, and an entry of the index takes more memory than all that is kept of the Secret.
func ownerOf(secret metav1.Object) []string {
	owner := metav1.GetControllerOf(secret)
	if owner == nil || !isSession(*owner) || secret.GetName() == owner.Name || secret.GetName() == api.StateSecretName(owner.Name) {
		return nil
	}
	return []string{string(owner.UID)}
}

// secretsOf are the Secrets whose every change matters to a session, whoever owns them, but for those whose names follow from
// the session's: see ownerOf.
func secretsOf(s *api.SecretServerSession) []string {
	names := []string{s.Spec.Credentials.SecretRef.Name}
	if s.TargetName() != s.Name {
		names = append(names, s.TargetName())
	}
	if ref := s.Spec.Endpoint.CABundleRef; ref != nil && ref.Kind == api.CABundleSecret {
		names = append(names, ref.Name)
	}
	return names
}

func configMapsOf(s *api.SecretServerSession) []string {
	if ref := s.Spec.Endpoint.CABundleRef; ref != nil && ref.Kind == api.CABundleConfigMap {
		return []string{ref.Name}
	}
	return nil
}

func (r *Reconciler) sessionsOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	requests := r.sessionsNaming(ctx, indexSecret, secret)
	requests = append(requests, r.sessionsNamedAfter(ctx, secret)...)
	// An old target is named by no spec any more.
	if owner := metav1.GetControllerOf(secret); owner != nil && isSession(*owner) {
		request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: secret.GetNamespace(), Name: owner.Name}}
		if !slices.Contains(requests, request) {
			requests = append(requests, request)
		}
	}
	return requests
}

// sessionsNamedAfter are those whose state or target by default a Secret is, by its name.
func (r *Reconciler) sessionsNamedAfter(ctx context.Context, secret client.Object) []reconcile.Request {
	names := []string{secret.GetName()}
	if name, ok := strings.CutSuffix(secret.GetName(), api.StateSecretName("")); ok {
		names = append(names, name)
	}
	var requests []reconcile.Request
	for _, name := range names {
		key := types.NamespacedName{Namespace: secret.GetNamespace(), Name: name}
		// No session has none, and one that names another target has this one in the index if at all.
		if s := (&api.SecretServerSession{}); r.cache.Get(ctx, key, s) == nil &&
			(s.TargetName() == secret.GetName() || api.StateSecretName(s.Name) == secret.GetName()) {
			requests = append(requests, reconcile.Request{NamespacedName: key})
		}
	}
	return requests
}

func (r *Reconciler) sessionsOfConfigMap(ctx context.Context, configMap client.Object) []reconcile.Request {
	return r.sessionsNaming(ctx, indexConfigMap, configMap)
}

func (r *Reconciler) sessionsNaming(ctx context.Context, index string, o client.Object) []reconcile.Request {
	list := &api.SecretServerSessionList{}
	err := r.cache.List(ctx, list, client.InNamespace(o.GetNamespace()),
		client.MatchingFields{index: o.GetName()}, client.UnsafeDisableDeepCopy)
	if err != nil {
		// Only a cache that is not started answers so, and then each session is looked at anyway.
		ctrl.LoggerFrom(ctx).Error(err, "cannot look up the sessions of an object", "index", index, "name", o.GetName())
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// CacheOptions restrict what the manager caches: sessions of some namespaces (none named: all) and labels, and of
// Secrets and ConfigMaps their metadata without what is not needed. Records are those of Options.
func CacheOptions(namespaces []string, sessions labels.Selector, records *Records) cache.Options {
	strip := newStripper(records)
	options := cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			// A pass changes nothing of what it reads, and so needs no copies.
			&api.SecretServerSession{}: {Label: sessions, Transform: strip.session, UnsafeDisableDeepCopy: new(true)},
			&corev1.Secret{}:           {Transform: strip.secret, UnsafeDisableDeepCopy: new(true)},
			&corev1.ConfigMap{}:        {Transform: strip.configMap, UnsafeDisableDeepCopy: new(true)},
		},
	}
	for _, namespace := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// LeaseName is the name of the leader's lease. Each shard has its own, so that shards do not wait for each other.
func LeaseName(namespaces []string, sessions labels.Selector) string {
	const name = "secret-server-operator.tokensync.dev"
	if len(namespaces) == 0 && sessions.Empty() {
		return name
	}
	sorted := slices.Sorted(slices.Values(namespaces))
	return name + "-" + shortDigest(strings.Join(sorted, ","), sessions.String())
}
