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
		"dot segments escaped twice":      {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS/%252e%252e/admin", false},
		"dot segments after a semicolon":  {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS/..;/admin", false},
		"an escaped slash":                {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS%2f..%2fadmin", false},
		"a backslash":                     {[]string{"https://v.example.com/SS"}, `https://v.example.com/SS\..\admin`, false},
		"an escaped backslash":            {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS/..%5cadmin", false},
		"two slashes in the path":         {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS//admin", false},
		"two slashes after the host":      {[]string{"https://v.example.com/SS"}, "https://v.example.com//evil.net/SS", false},
		"a dot segment that stays":        {[]string{"https://v.example.com/SS"}, "https://v.example.com/SS/.", false},
		"an escaped letter of the path":   {[]string{"https://v.example.com/SS"}, "https://v.example.com/%53S", true},
		"another case of the path":        {[]string{"https://v.example.com/SS"}, "https://v.example.com/ss", false},
		"the scheme in capitals":          {[]string{"HTTPS://v.example.com"}, "HTTPS://v.example.com/SS", true},
		"no TLS":                          {[]string{"https://v.example.com"}, "http://v.example.com/SS", false},
		"no TLS on the port of TLS":       {[]string{"https://v.example.com"}, "http://v.example.com:443/SS", false},
		"a dot after the host":            {[]string{"https://v.example.com"}, "https://v.example.com./SS", true},
		"two dots after the host":         {[]string{"https://v.example.com"}, "https://v.example.com../SS", false},
		"a port with a zero before it":    {[]string{"https://v.example.com"}, "https://v.example.com:0443/SS", false},
		"a port that is none":             {[]string{"https://v.example.com"}, "https://v.example.com:443@evil.net/SS", false},
		"a host in front of a backslash":  {[]string{"https://v.example.com"}, `https://v.example.com\@evil.net/SS`, false},
		"a host in front of a query":      {[]string{"https://v.example.com"}, "https://evil.net?https://v.example.com", false},
		"a host in front of a fragment":   {[]string{"https://v.example.com"}, "https://evil.net#@v.example.com", false},
		"an escaped dot in the host":      {[]string{"https://v.example.com"}, "https://v.example.com%2eevil.net/SS", false},
		"wide letters in the host":        {[]string{"https://v.example.com"}, "https://ｖ.example.com/SS", false},
		"a wide dot in the host":          {[]string{"https://v.example.com"}, "https://v.example。com/SS", false},
		"a letter that looks the same":    {[]string{"https://v.example.com"}, "https://v.exаmple.com/SS", false},
		"the host in punycode":            {[]string{"https://bücher.example.com"}, "https://xn--bcher-kva.example.com/SS", false},
		"a line break":                    {[]string{"https://v.example.com"}, "https://v.example.com\r\nHost: evil.net", false},
		"an address in another notation":  {[]string{"https://127.0.0.1"}, "https://2130706433/SS", false},
		"an address of version 6":         {[]string{"https://[::1]:8443"}, "https://[::1]:8443/SS", true},
		"nothing":                         {[]string{"https://v.example.com"}, "", false},
		"a path alone":                    {[]string{"https://v.example.com"}, "//v.example.com/SS", false},
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
	for _, bad := range []string{"vault.example.com", "http://vault.example.com", "https://", "https://u@v.example.com", "https://v.example.com?x=1",
		"https://v.example.com/SS/../x", "https://v.example.com/a//b", "https://v.example.com/%2e%2e/x"} {
		if _, err := ParseAllowedEndpoints([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
