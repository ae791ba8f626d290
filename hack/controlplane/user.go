package controlplane

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// AddUser returns the configuration of a user who authenticates with a client
// certificate, good for 30 days. The user may do what RBAC grants to that name
// and those groups: at first next to nothing. Client-side throttling is
// client-go's default.
func (c *Cluster) AddUser(name string, groups ...string) (*rest.Config, error) {
	crt, key, err := c.authority.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("add user %s: %w", name, err)
	}
	return &rest.Config{
		Host:            c.url,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.crt, CertData: crt, KeyData: key},
	}, nil
}

// KubeconfigFor writes a kubeconfig for a user from AddUser, for a process that
// is to act as that user, and returns its path. Only the user of this process can
// read the file, and Stop removes it.
func (c *Cluster) KubeconfigFor(user *rest.Config) (string, error) {
	const name = "controlplane"
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: user.Host, CertificateAuthorityData: user.CAData}
	config.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: user.CertData, ClientKeyData: user.KeyData}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	content, err := clientcmd.Write(*config)
	if err != nil {
		return "", err
	}

	file, err := os.CreateTemp(c.dir, "*.kubeconfig") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	return file.Name(), errors.Join(err, file.Close())
}

func (c *Cluster) addAdmin() error {
	var err error
	if c.admin, err = c.AddUser("admin", "system:masters"); err != nil {
		return err
	}
	c.admin.QPS = -1 // a test or a demonstration is not to wait for itself
	if c.kubeconfig, err = c.KubeconfigFor(c.admin); err != nil {
		return err
	}
	c.core, err = corev1client.NewForConfig(c.admin)
	return err
}

// managerKubeconfig is for kube-controller-manager, as a user of its own, which
// the audit log tells apart. All controllers share it; the role
// system:kube-controller-manager would do only if each had a service account.
func (c *Cluster) managerKubeconfig() (string, error) {
	user, err := c.AddUser("system:kube-controller-manager", "system:masters")
	if err != nil {
		return "", err
	}
	return c.KubeconfigFor(user)
}
