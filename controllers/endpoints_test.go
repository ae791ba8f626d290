package controllers

import "testing"

func TestAllowedEndpoints(t *testing.T) {
	for name, c := range map[string]struct {
		allowed  []string
		endpoint string
		want     bool
	}{
		"no list allows any":              {nil, "https://anything.example.com", true},
		"the URL itself":                  {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS", true},
		"a trailing slash":                {[]string{"https://v.example.com/SS/"}, "https://v.example.com/SS", true},
		"below the path":                  {[]string{"https://v.example.com/"}, "https://v.example.com/SS", true},
		"the host without a path":         {[]string{"https://v.example.com"}, "https://v.example.com/SS", true},
		"host names ignore case":          {[]string{"https://V.example.com"}, "https://v.EXAMPLE.com/SS", true},
		"the default port":                {[]string{"https://v.example.com:443"}, "https://v.example.com", true},
		"second of two":                   {[]string{"https://a.example.com", "https://b.example.com"}, "https://b.example.com", true},
		"another host":                    {[]string{"https://v.example.com"}, "https://w.example.com", false},
		"a host that only begins so":      {[]string{"https://v.example.com"}, "https://v.example.com.evil.net", false},
		"another port":                    {[]string{"https://v.example.com"}, "https://v.example.com:8443", false},
		"a path that only begins so":      {[]string{"https://v.example.com/SS"}, "https://v.example.com/SSevil", false},
		"above the path":                  {[]string{"https://v.example.com/SS"}, "https://v.example.com", false},
		"dot segments that leave it":      {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS/../admin", false},
		"escaped dot segments":            {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS/%2e%2e/admin", false},
		"user info in front of the host":  {[]string{"https://v.example.com"}, "https://v.example.com@evil.net/", false},
		"an endpoint that does not parse": {[]string{"https://v.example.com"}, "https://v.example.com/%zz", false},
	} {
		t.Run(name, func(t *testing.T) {
			allowed, err := ParseAllowedEndpoints(c.allowed)
			if err != nil {
				t.Fatal(err)
			}
			if got := allowed.Allow(c.endpoint); got != c.want {
				t.Errorf("Allow(%q) with %q = %v, want %v", c.endpoint, c.allowed, got, c.want)
			}
		})
	}
}

func TestAllowedEndpointsMustBeURLPrefixes(t *testing.T) {
	for _, bad := range []string{"vault.example.com", "http://vault.example.com", "https://", "https://u@v.example.com", "https://v.example.com?x=1"} {
		if _, err := ParseAllowedEndpoints([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
