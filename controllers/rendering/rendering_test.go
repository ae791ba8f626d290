package rendering

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// billing is what the templates of these tests see.
func billing() Values {
	return Values{
		Token:     "AgEAAAD-token_7f3a",
		IssuedAt:  time.Date(2026, time.March, 2, 13, 0, 0, 0, time.FixedZone("CET", 3600)),
		ExpiresAt: time.Date(2026, time.March, 2, 13, 20, 0, 0, time.FixedZone("CET", 3600)),
		ServerURL: "https://vault.example.com/SecretServer",
		Username:  "svc-billing",
		Domain:    "CORP",
		Session:   "billing",
		Namespace: "payments",
	}
}

// rendered renders one template.
func rendered(text string) (string, error) {
	values, err := Render(map[string]string{"key": text}, billing())
	return string(values["key"]), err
}

func TestTemplatesRender(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                    {"", ""},
		"only a comment":             {"{{/* nothing */}}", ""},
		"text alone":                 {"plain }} text\n", "plain }} text\n"},
		"every value":                {"{{.token}} {{.tokenType}} {{.issuedAt}} {{.expiresAt}} {{.serverURL}} {{.username}} {{.domain}} {{.session}} {{.namespace}}", "AgEAAAD-token_7f3a Bearer 2026-03-02T12:00:00Z 2026-03-02T12:20:00Z https://vault.example.com/SecretServer svc-billing CORP billing payments"},
		"a header":                   {"Authorization: {{ .tokenType }} {{ .token }}", "Authorization: Bearer AgEAAAD-token_7f3a"},
		"a .netrc":                   {"machine {{ (urlParse .serverURL).hostname }}\nlogin {{ .username }}\npassword {{ .token }}\n", "machine vault.example.com\nlogin svc-billing\npassword AgEAAAD-token_7f3a\n"},
		"JSON":                       {`{{ dict "token" .token "by" (list .domain .username) "until" (unixEpoch .expiresAt) | toJson }}`, `{"by":["CORP","svc-billing"],"token":"AgEAAAD-token_7f3a","until":1772454000}`},
		"JSON with signs of HTML":    {`{{ list "<" "&" | toJson }} {{ list "<" "&" | toRawJson }}`, `["\u003c","\u0026"] ["<","&"]`},
		"variables":                  {`{{ $user := .username }}{{ $user = upper $user }}{{ $user }} {{ $.domain }}`, "SVC-BILLING CORP"},
		"conditions":                 {`{{ if eq .domain "" }}local{{ else if and .domain (ne .domain "OTHER") }}{{ .domain }}\{{ end }}{{ .username }}`, `CORP\svc-billing`},
		"with, and its else":         {`{{ with .domain }}{{ . }}@{{ $.username }}{{ else }}{{ .username }}{{ end }}{{ with "" }}{{ else }}!{{ end }}`, "CORP@svc-billing!"},
		"a dict within a with":       {`{{ with dict "a" "b" }}{{ .a }}{{ end }}`, "b"},
		"case and space":             {`{{ upper "a" }}{{ lower "B" }}{{ title "cd" }}{{ trim " e " }}{{ trimPrefix "f" "fg" }}{{ trimSuffix "i" "hi" }}`, "AbCdegh"},
		"parts":                      {`{{ trunc 3 .username }} {{ substr 4 7 .username }} {{ splitList "-" .username | last }} {{ splitList "-" .username | first }} {{ index (splitList "-" .username) 1 }} {{ slice .username 0 2 }}`, "svc bil billing svc billing sv"},
		"tests":                      {`{{ contains "svc" .username }},{{ hasPrefix "b" .username }},{{ hasSuffix "g" .username }},{{ empty .domain }},{{ not true }},{{ or "" "x" }}`, "true,false,true,false,false,x"},
		"quotes":                     {`{{ quote .session }} {{ squote .session }} {{ cat "a" 1 }} {{ toString 7 }}`, `"billing" 'billing' a 1 7`},
		"encodings":                  {`{{ b64enc "a" }} {{ b32enc "a" }} {{ sha256sum "a" | trunc 8 }} {{ urlquery "a b" }} {{ html "<" }} {{ js "'" }}`, `YQ== ME====== ca978112 a+b &lt; \'`},
		"choices":                    {`{{ default "a" "" }} {{ default "a" "b" }} {{ coalesce "" 0 "c" }}{{ coalesce "" }} {{ ternary "d" "e" false }}`, "a b c e"},
		"replace":                    {`{{ .session | replace "l" "LL" }} {{ replace "" "-" "ab" }} {{ replace "bill" "" .session }}`, "biLLLLing -a-b- ing"},
		"repeat":                     {`{{ repeat 3 "ab" }}{{ repeat 0 "ab" }}{{ repeat 1000000000 "" }}`, "ababab"},
		"indent":                     {`{{ indent 2 "a\nb" }}|{{ nindent 1 "c" }}`, "  a\n  b|\n c"},
		"join":                       {`{{ list "a" 1 nil true | join "," }} {{ splitList "-" "x-y" | join "+" }}`, "a,1,true x+y"},
		"print":                      {`{{ print "a" 1 2 }}{{ println "b" }}{{ printf "%s|%5d|%-3s|%05.1f|%q|%v|%%|%x|%t|%d" "c" 7 "d" 2.25 "e" (list 1) "f" true (unixEpoch .issuedAt) }}`, "a1 2b\nc|    7|d  |002.2|\"e\"|[1]|%|66|true|1772452800"},
		"shorter texts":              {`{{ abbrev 7 .username }} {{ abbrevboth 5 10 "1234 5678 9123" }} {{ initials "svc billing" }} {{ nospace " é è\t" }} {{ trimAll "é-" "-éaé-" }}{{ trimAll "" "b" }}`, "svc-... ...5678... sb éè ab"},
		"spellings":                  {`{{ untitle "Ab" }} {{ swapcase "aB" }} {{ camelcase "a_b" }} {{ snakecase "AbCd" }} {{ kebabcase "AbCd" }} {{ plural "one" "many" 2 }} {{ wrap 3 "ab cd" }}`, "ab Ab AB ab_cd ab-cd many ab\ncd"},
		"parts with names":           {`{{ (split "-" .username)._1 }} {{ (splitn "/" 2 "a/b/c")._1 }} {{ len (split "" "ab") }}`, "billing b/c 2"},
		"decodings":                  {`{{ b64enc "a" | b64dec }}{{ b32enc "b" | b32dec }} {{ sha1sum "a" | trunc 8 }} {{ sha512sum "a" | trunc 8 }} {{ adler32sum "a" }}`, "ab 86f7e437 1f40fc92 6422626"},
		"a URL of parts":             {`{{ urlJoin (dict "scheme" "https" "host" (urlParse .serverURL).host "path" "/api") }}`, "https://vault.example.com/api"},
		"JSON on lines":              {`{{ dict "a" (list 1 "b") | toPrettyJson }}`, "{\n  \"a\": [\n    1,\n    \"b\"\n  ]\n}"},
		"lists":                      {`{{ list 1 2 3 | rest | join "" }} {{ list 1 2 3 | initial | join "" }} {{ list 1 2 | reverse | join "" }} {{ list "b" "a" | sortAlpha | join "" }} {{ list "" 1 nil | compact | len }} {{ has 2 (list 1 2) }}`, "23 12 21 ab 1 true"},
		"dicts":                      {`{{ get (dict "a" "b") "a" }} {{ hasKey . "token" }} {{ hasKey . "password" }}`, "b true false"},
		"whole numbers":              {`{{ add 1 2 3 }} {{ sub (unixEpoch .expiresAt) (unixEpoch .issuedAt) }} {{ mul 2 3 -4 }} {{ div -7 2 }}`, "6 1200 -24 -3"},
		"dates":                      {`{{ date "Mon, 02 Jan 2006 15:04:05 MST" .expiresAt }} {{ .issuedAt | date "2006-01-02" }} {{ date "15:04" "2026-03-02T13:20:00+01:00" }}`, "Mon, 02 Mar 2026 12:20:00 UTC 2026-03-02 12:20"},
		"comparisons":                {`{{ eq 1 2 1 }},{{ ne "a" "b" }},{{ lt 1 2.5 }},{{ le "a" "a" }},{{ gt (unixEpoch .expiresAt) 1 }},{{ ge "a" "b" }},{{ eq true false true }},{{ len .domain }}`, "true,true,true,true,true,false,true,4"},
		"index of a dict":            {`{{ index . "token" }} {{ index (dict "a" (list "b")) "a" 0 }}`, "AgEAAAD-token_7f3a b"},
		"trimmed":                    {"a  {{- .session -}}  b", "abillingb"},
		"an unknown field, not used": {`{{ with "x" }}{{ if false }}{{ .none }}{{ end }}{{ end }}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rendered(c.text)
			if err != nil || got != c.want {
				t.Errorf("%s\n got %q, %v\nwant %q", c.text, got, err, c.want)
			}
		})
	}
}

// fault is what a template is expected to be refused with.
type fault struct {
	text         string
	cause        Cause
	line, column int
}

// anywhere is for a fault whose place is of no interest.
const anywhere = -1

func expectFaults(t *testing.T, faults map[string]fault) {
	t.Helper()
	for name, c := range faults {
		t.Run(name, func(t *testing.T) {
			got, err := rendered(c.text)
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("rendered as %.100q, %v, want %q", got, err, c.cause)
			}
			if c.line == anywhere {
				c.line, c.column = e.Line, e.Column
			}
			if want := (Error{"key", c.line, c.column, c.cause}); *e != want {
				t.Errorf("\n got %+v\nwant %+v", *e, want)
			}
		})
	}
}

func TestTemplatesThatAreNone(t *testing.T) {
	expectFaults(t, map[string]fault{
		"an action that does not end":   {"a\nb {{ .token", Malformed, 2, 0},
		"a block that does not end":     {"{{ if .token }}", Malformed, 1, 0},
		"an end without a beginning":    {"{{ end }}", Malformed, 1, 0},
		"a variable that was not set":   {"\n\n{{ $x }}", Malformed, 3, 0},
		"a text that does not end":      {`{{ "abc }}`, Malformed, 1, 0},
		"a number that is none":         {`{{ 1e999999 }}`, Malformed, 1, 0},
		"an unknown value":              {"a\n  {{ .tokn }}", UnknownField, 2, 6},
		"an unknown value of $":         {"{{ with 1 }}{{ $.tokn }}{{ end }}", UnknownField, 1, 17},
		"an unknown value in an else":   {"{{ with 1 }}{{ else }}{{ .tokn }}{{ end }}", UnknownField, 1, 26},
		"an unknown value in brackets":  {"{{ (print (.tokn)).x }}", UnknownField, 1, 12},
		"an unknown function":           {"{{ .token | encode }}", UnknownFunction, 1, 13},
		"a value of a text":             {"{{ .token.length }}", Mismatch, 1, 10},
		"a value of a dict":             {`{{ (dict "a" 1).b }}`, Mismatch, 1, 14},
		"a value with an argument":      {"{{ .token 1 }}", Mismatch, 1, 4},
		"too few arguments":             {"{{ upper }}", Mismatch, 1, 4},
		"too many arguments":            {"{{ .token | upper 1 }}", Mismatch, 1, 13},
		"an argument of the wrong type": {`{{ trunc "a" .token }}`, Mismatch, 1, 10},
		"a text that is called":         {`{{ "a" "b" }}`, Mismatch, 1, 4},
		"half a pair":                   {`{{ dict "a" }}`, Unsuitable, 1, 4},
		"a pair without a name":         {`{{ dict 1 2 }}`, Unsuitable, 1, 4},
		"an end before the beginning":   {`{{ substr 5 1 .token }}`, Unsuitable, 1, 4},
		"a part beyond the end":         {`{{ slice .domain 9 }}`, Unsuitable, 1, 4},
		"an element that is not there":  {`{{ index (list 1) 1 }}`, Unsuitable, 1, 4},
		"an element with no place":      {`{{ index (list 1) true }}`, Unsuitable, 1, 4},
		"an entry that is not there":    {`{{ index . "refreshToken" }}`, Unsuitable, 1, 4},
		"an element of a text":          {`{{ index .token 0 }}`, Unsuitable, 1, 4},
		"something else than a list":    {`{{ join "," .token }}`, Unsuitable, 1, 4},
		"a URL that is none":            {`{{ urlParse ":" }}`, Unsuitable, 1, 4},
		"a time that is none":           {`{{ unixEpoch .token }}`, Unsuitable, 1, 4},
		"a date that is none":           {`{{ date "2006" .token }}`, Unsuitable, 1, 4},
		"no date at all":                {`{{ date "2006" "" }}`, Unsuitable, 1, 4},
		"no Base64":                     {`{{ b64dec .token }}`, Unsuitable, 1, 4},
		"no Base32":                     {`{{ b32dec .token }}`, Unsuitable, 1, 4},
		"nothing to add":                {`{{ add }}`, Unsuitable, 1, 4},
		"a text as a number":            {`{{ add 1 "2" }}`, Unsuitable, 1, 4},
		"half a number":                 {`{{ sub 1 0.5 }}`, Unsuitable, 1, 4},
		"a sum that is too large":       {`{{ add 9223372036854775807 1 }}`, Unsuitable, 1, 4},
		"a product that is too large":   {`{{ mul 9223372036854775807 9223372036854775807 0 }}`, Unsuitable, 1, 4},
		"a quotient that is too large":  {`{{ div -9223372036854775808 -1 }}`, Unsuitable, 1, 4},
		"a division by nothing":         {`{{ div 1 0 }}`, Unsuitable, 1, 4},
		"a division by a text":          {`{{ div 1 "2" }}`, Unsuitable, 1, 4},
		"JSON on lines of no JSON":      {`{{ toPrettyJson 1i }}`, Unsuitable, 1, 4},
		"a URL of what is none":         {`{{ urlJoin (dict "host" 1) }}`, Unsuitable, 1, 4},
		"the rest of a text":            {`{{ rest .token }}`, Unsuitable, 1, 4},
		"a negative count":              {`{{ repeat -1 "a" }}`, Unsuitable, 1, 4},
		"a negative margin":             {`{{ indent -1 "a" }}`, Unsuitable, 1, 4},
		"no order":                      {`{{ lt "a" 1 }}`, Unsuitable, 1, 4},
		"no order of truths":            {`{{ lt true false }}`, Unsuitable, 1, 4},
		"no equality":                   {`{{ eq 1 "a" }}`, Unsuitable, 1, 4},
		"no equality with a truth":      {`{{ eq true "a" }}`, Unsuitable, 1, 4},
		"nothing to be equal to":        {`{{ eq 1 }}`, Unsuitable, 1, 4},
		"no JSON":                       {`{{ toJson 1i }}`, Unsuitable, 1, 4},
		"a verb for another value":      {`{{ printf "%d" .token }}`, Unsuitable, 1, 4},
		"more verbs than values":        {`{{ printf "%s" }}`, Unsuitable, 1, 4},
		"more values than verbs":        {`{{ printf "a" 1 }}`, Unsuitable, 1, 4},
	})
}

func TestWhatIsNotAvailable(t *testing.T) {
	faults := map[string]fault{
		"range":                   {"{{ range list 1 2 }}{{ end }}", Looping, 1, 10},
		"range over a number":     {"{{ range 1000000000 }}{{ end }}", Looping, 1, 10},
		"range in an else":        {"{{ if 1 }}{{ else }}{{ range 9 }}{{ break }}{{ end }}{{ end }}", Looping, 1, 30},
		"define":                  {`{{ define "a" }}x{{ end }}`, Defining, 0, 0},
		"define by our own name":  {`{{ define "template" }}x{{ end }}`, Defining, 0, 0},
		"define of nothing":       {`{{ define "a" }}{{ end }}text`, Defining, 0, 0},
		"block":                   {`{{ block "a" . }}x{{ end }}`, Defining, 1, 10},
		"template":                {`{{ template "template" }}`, Defining, 1, 13},
		"call":                    {`{{ call .token }}`, UnknownFunction, 1, 4},
		"a function as a value":   {`{{ print (env) }}`, UnknownFunction, 1, 11},
		"break outside of a loop": {`{{ break }}`, Malformed, 1, 0},
	}
	for _, name := range []string{
		"now", "ago", "dateInZone", "htmlDate", "dateModify", "toDate", "duration", // the clock, files with time zones, and values with methods
		"env", "expandenv", "getHostByName", "osBase", // the environment, the network, files
		"randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randInt", "randBytes", "shuffle", "uuidv4", // random numbers
		"genPrivateKey", "genCA", "genSelfSignedCert", "genSignedCert", "buildCustomCert", "derivePassword", "bcrypt", "htpasswd",
		"encryptAES", "decryptAES", // keys
		"regexMatch", "regexReplaceAll", "regexSplit", "mustRegexFind", // patterns
		"until", "untilStep", "seq", "wrapWith", "fromJson", // sizes out of nothing
		"keys", "values", // in no order
		"uniq", "without", "toYaml", "b64URLEncode", "splitByte",
		"set", "unset", "merge", "mergeOverwrite", "append", "push", "deepCopy", // arguments that change
		"fail", "include", "tpl", "lookup", "typeOf", "kindOf", "deepEqual",
	} {
		faults["the function "+name] = fault{"{{ " + name + " }}", UnknownFunction, 1, 4}
	}
	expectFaults(t, faults)
}

// doubled is a template that doubles what it begins with n times.
func doubled(n int, begin, double, end string) string {
	return "{{ $x := " + begin + " }}" + strings.Repeat("{{ $x = "+double+" }}", n) + end
}

func TestBombs(t *testing.T) {
	big := `{{ $x := repeat 131000 "x" }}`
	expectFaults(t, map[string]fault{
		"a text that is doubled":                {doubled(100, ".token", "print $x $x", ""), TooLarge, anywhere, 0},
		"a text that is doubled without end":    {doubled(200, ".token", "cat $x $x", "{{ $x }}"), TooLarge, anywhere, 0},
		"a list that is doubled":                {doubled(100, "list", "list $x $x", "{{ $x }}"), TooLarge, anywhere, 0},
		"a dict that is doubled":                {doubled(100, "dict", `dict "a" $x "b" $x`, "{{ toJson $x }}"), TooLarge, anywhere, 0},
		"a format that is doubled":              {doubled(100, ".token", `printf "%s%s" $x $x`, ""), TooLarge, anywhere, 0},
		"quotes of quotes":                      {doubled(100, `"\""`, "quote $x", ""), TooLarge, anywhere, 0},
		"HTML of HTML":                          {doubled(200, `"&"`, "html $x $x", ""), TooLarge, anywhere, 0},
		"a width":                               {`{{ printf "%999999999d" 1 }}`, Unprintable, anywhere, 0},
		"a width with zeros before it":          {`{{ printf "%0000001001d" 1 }}`, Unprintable, anywhere, 0},
		"a precision":                           {`{{ printf "%.999999999f" 1.0 }}`, Unprintable, anywhere, 0},
		"a width from an argument":              {`{{ printf "%*d" 999999999 1 }}`, Unprintable, anywhere, 0},
		"an argument again and again":           {`{{ printf "%[1]s%[1]s" .token }}`, Unprintable, anywhere, 0},
		"a width for each element":              {`{{ printf "%1000v" (splitList "" .token) }}`, Unsuitable, anywhere, 0},
		"a width for each entry":                {`{{ printf "%1000v" . }}`, Unsuitable, anywhere, 0},
		"a verb that is none":                   {`{{ printf "%z" 1 }}`, Unprintable, anywhere, 0},
		"a verb that does not end":              {`{{ printf "%1" 1 }}`, Unprintable, anywhere, 0},
		"many widths":                           {`{{ printf "` + strings.Repeat("%1000s", 132) + `"` + strings.Repeat(` "a"`, 132) + ` }}`, TooLarge, anywhere, 0},
		"a repetition":                          {`{{ repeat 999999999 .token }}`, TooLarge, anywhere, 0},
		"a repetition of the largest count":     {`{{ repeat 9223372036854775807 "ab" }}`, TooLarge, anywhere, 0},
		"a repeated repetition":                 {`{{ repeat 1000 "x" | repeat 1000 }}`, TooLarge, anywhere, 0},
		"a margin":                              {`{{ indent 999999999 "a" }}`, TooLarge, anywhere, 0},
		"the largest margin":                    {`{{ nindent 9223372036854775807 "a\nb" }}`, TooLarge, anywhere, 0},
		"many margins":                          {`{{ repeat 1000 "\n" | indent 1000 }}`, TooLarge, anywhere, 0},
		"something between all characters":      {big + `{{ replace "" $x $x }}`, TooLarge, anywhere, 0},
		"something for each character":          {big + `{{ replace "x" "xx" $x }}`, TooLarge, anywhere, 0},
		"a separator":                           {`{{ join (repeat 1000 "x") (splitList "" (repeat 1000 "x")) }}`, TooLarge, anywhere, 0},
		"a list of characters":                  {big + `{{ splitList "" $x }}`, TooLarge, anywhere, 0},
		"a dict of characters":                  {big + `{{ split "" $x }}`, TooLarge, anywhere, 0},
		"some parts of many":                    {big + `{{ splitn "" 100000 $x }}`, TooLarge, anywhere, 0},
		"a date of dates":                       {`{{ $x := repeat 20000 "1" }}{{ date (repeat 6 $x) .expiresAt }}{{ date (print $x $x $x $x $x $x (repeat 20000 "Monday")) .expiresAt }}`, TooLarge, anywhere, 0},
		"margins of margins":                    {doubled(17, `""`, `list $x`, "{{ toPrettyJson $x }}"), TooNested, anywhere, 0},
		"margins of dicts":                      {doubled(17, `""`, `dict "a" $x`, "{{ toPrettyJson $x }}"), TooNested, anywhere, 0},
		"many characters to trim":               {`{{ $x := repeat 60000 "é" }}` + strings.Repeat(`{{ if trimAll $x $x }}{{ end }}`, 100), TooMuchWork, anywhere, 0},
		"an argument many times":                {big + `{{ print ` + strings.Repeat("$x ", 1000) + `}}`, TooLarge, anywhere, 0},
		"a list many times":                     {`{{ $x := splitList "" (repeat 7000 "x") }}{{ list ` + strings.Repeat("$x ", 1000) + `}}`, TooLarge, anywhere, 0},
		"a value of more than a value may have": {big + `{{ $x }}{{ $x }}`, TooLarge, anywhere, 0},
		"work without a result":                 {big + strings.Repeat(`{{ if contains "y" $x }}{{ end }}`, 100), TooMuchWork, anywhere, 0},
		"the same work in a pipeline":           {big + `{{ $x` + strings.Repeat(` | upper | lower`, 100) + ` | len }}`, TooMuchWork, anywhere, 0},
		"work whose result is too much":         {big + strings.Repeat(`{{ if upper $x }}{{ end }}`, 100), TooMuchWork, anywhere, 0},
		"a long template":                       {strings.Repeat("x", MaxTemplate+1), TooLong, anywhere, 0},
		"a long literal":                        {`{{ "` + strings.Repeat("x", MaxTemplate) + `" }}`, TooLong, anywhere, 0},
		"deep parentheses":                      {"{{ " + strings.Repeat("(", 4000) + "1" + strings.Repeat(")", 4000) + " }}", TooDeep, anywhere, 0},
		"parentheses that do not end":           {"{{ " + strings.Repeat("(", 8000), Malformed, anywhere, 0},
		"deep blocks":                           {strings.Repeat("{{if 1}}", 400) + strings.Repeat("{{end}}", 400), TooDeep, anywhere, 0},
		"many alternatives":                     {"{{if 0}}" + strings.Repeat("{{else if 0}}", 400) + "{{end}}", TooDeep, anywhere, 0},
	})
}

func TestTheLongestTemplateAndTheLongestTokenAreFine(t *testing.T) {
	v := billing()
	v.Token = strings.Repeat("t", 64<<10)
	values, err := Render(map[string]string{
		"a": strings.Repeat("é", MaxTemplate),
		"b": `{{ printf "%s:%s" .username .token | b64enc }}`,
		"c": `{{ dict "token" .token | toJson }}`,
	}, v)
	if err != nil || len(values["a"]) != 2*MaxTemplate || len(values["b"]) < 4*len(v.Token)/3 || len(values["c"]) != len(`{"token":""}`)+len(v.Token) {
		t.Errorf("%d, %d and %d bytes, %v", len(values["a"]), len(values["b"]), len(values["c"]), err)
	}
}

func TestAllValuesTogetherAreBounded(t *testing.T) {
	half := `{{ repeat 131000 "x" }}`
	if values, err := Render(map[string]string{"a": half, "b": half}, billing()); err != nil || len(values) != 2 {
		t.Errorf("two large values: %v", err)
	}
	values, err := Render(map[string]string{"a": half, "b": half, "c": half}, billing())
	if e, ok := errors.AsType[*Error](err); !ok || *e != (Error{Key: "c", Cause: TooLarge}) || values != nil {
		t.Errorf("three: %d values, %v", len(values), err)
	}
	work := strings.Repeat(`{{ if contains "y" (repeat 130000 "x") }}{{ end }}`, 10)
	templates := map[string]string{}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		templates[key] = work
	}
	_, err = Render(templates, billing())
	if e, ok := errors.AsType[*Error](err); !ok || e.Key == "a" || e.Cause != TooMuchWork {
		t.Errorf("work that is fine once and not six times: %v", err)
	}
}

// A nil value would be null in the API server's JSON, and its key not there.
func TestAnEmptyValueIsNotNil(t *testing.T) {
	for _, text := range []string{"", `{{ "" }}`, "{{/* */}}"} {
		values, err := Render(map[string]string{"key": text}, Values{})
		if err != nil || values["key"] == nil || len(values["key"]) != 0 {
			t.Errorf("%q: %#v, %v", text, values["key"], err)
		}
	}
}

func TestOneFaultLeavesNoValueAtAll(t *testing.T) {
	values, err := Render(map[string]string{"a": "fine", "b": "{{ .none }}", "c": "{{ .neither }}"}, billing())
	if e, ok := errors.AsType[*Error](err); !ok || e.Key != "b" || values != nil {
		t.Errorf("%v, %v, want the fault of b and nothing else", values, err)
	}
}

func TestTemplatesSeeTheDocumentedValuesAndNothingElse(t *testing.T) {
	const want = `{"domain":"CORP","expiresAt":"2026-03-02T12:20:00Z","issuedAt":"2026-03-02T12:00:00Z","namespace":"payments",` +
		`"serverURL":"https://vault.example.com/SecretServer","session":"billing","token":"AgEAAAD-token_7f3a","tokenType":"Bearer","username":"svc-billing"}`
	for _, text := range []string{"{{ toJson . }}", "{{ toJson $ }}", "{{ $x := . }}{{ with 1 }}{{ toRawJson $x }}{{ end }}"} {
		if got, err := rendered(text); err != nil || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", text, got, err, want)
		}
	}
	got, err := rendered("{{ . }}")
	if wanted := "map[domain:CORP expiresAt:2026-03-02T12:20:00Z "; err != nil || !strings.HasPrefix(got, wanted) {
		t.Errorf("got %s, %v", got, err)
	}
	if got, want := Fields(), slices.Sorted(maps.Keys(billing().fields())); !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
}

func TestErrorsTellNothingOfTheValues(t *testing.T) {
	for _, text := range []string{
		"{{ .token.x }}", "{{ index . .token }}", "{{ unixEpoch .token }}", `{{ urlParse (print ":" .token) }}`, "{{ slice .token 99 }}",
		"{{ substr 99 100 .token }}", "{{ .token | trunc }}", `{{ lt .token 1 }}`, "{{ (dict .token 1).x }}", "{{ dict .token }}",
		"{{ printf .token 1 }}", "{{ join .token .token }}", "{{ not_a_function .token }}", "{{ repeat 99999 .token }}", "{{ AgEAAAD",
		"{{ len 1 .token }}", "{{ and (index (list .token) 9) }}", "{{ with .token }}{{ .x }}{{ end }}", "{{ first .token }}",
	} {
		_, err := rendered(text)
		if err == nil {
			t.Errorf("%s is fine, and should not be", text)
			continue
		}
		if message := err.Error(); strings.Contains(message, "AgE") || len(message) > 200 {
			t.Errorf("%s: %s", text, message)
		}
	}
}

func TestErrorsTellThePlace(t *testing.T) {
	for want, e := range map[string]Error{
		`".netrc", line 2, column 6: there is no such value`: {".netrc", 2, 6, UnknownField},
		`"a", line 3: it is not a valid Go template`:         {"a", 3, 0, Malformed},
		`"a": it is longer than 8192 characters`:             {"a", 0, 0, TooLong},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if got := because(Looping).Error(); got != "range is not available" {
		t.Errorf("got %s", got)
	}
}

func TestCheckTellsWhatNeedsNoToken(t *testing.T) {
	v := billing()
	v.Token, v.Username = "", ""
	for name, c := range map[string]struct {
		text  string
		cause Cause
	}{
		"fine":                                 {"{{ .token }}", ""},
		"not a template":                       {"{{", Malformed},
		"no such value":                        {"{{ .refreshToken }}", UnknownField},
		"wrong arguments":                      {"{{ trunc .token }}", Mismatch},
		"a bomb":                               {`{{ repeat 999999999 "x" }}`, TooLarge},
		"only some user names have a domain":   {`{{ index (splitList "\\" .username) 1 }}`, ""},
		"only some tokens are so long":         {`{{ substr 100 200 .token }}`, ""},
		"only some tokens are JSON Web Tokens": {`{{ index (splitList "." .token) 1 }}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			// The key before it has an error that is none yet.
			err := Check(map[string]string{"before": "{{ index (list) 0 }}", "key": c.text}, v)
			e, ok := errors.AsType[*Error](err)
			switch {
			case c.cause == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.cause != "" && (!ok || e.Cause != c.cause || e.Key != "key"):
				t.Errorf("got %v, want %s", err, c.cause)
			}
		})
	}
}

func TestEveryFunctionIsOneOfTheAllowed(t *testing.T) {
	want := strings.Fields(`abbrev abbrevboth add adler32sum and b32dec b32enc b64dec b64enc camelcase cat coalesce compact contains date default
		dict div empty eq first ge get gt has hasKey hasPrefix hasSuffix html indent index initial initials join js kebabcase last le len
		list lower lt mul ne nindent nospace not or plural print printf println quote repeat replace rest reverse sha1sum sha256sum
		sha512sum slice snakecase sortAlpha split splitList splitn squote sub substr swapcase ternary title toJson toPrettyJson
		toRawJson toString trim trimAll trimPrefix trimSuffix trunc unixEpoch untitle upper urlJoin urlParse urlquery wrap`)
	if got := Functions(); !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func TestATemplateThatPanicsIsAnError(t *testing.T) {
	r := newRendering(billing())
	r.functions["upper"] = (func(string) string)(nil)
	if _, err := r.render("{{ upper .token }}"); err == nil {
		t.Error("no error")
	}
	r.functions["upper"] = 1 // no function at all, which text/template answers with a panic
	if _, err := r.render("{{ upper .token }}"); err == nil || err.Cause != Mismatch {
		t.Errorf("got %v", err)
	}
}
