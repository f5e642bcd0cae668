package web

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is the API's own description, against which every answer that a
// test sees is checked: path, method, status, media type and body.
type document struct {
	raw      map[string]any
	compiler *jsonschema.Compiler
}

const documentURL = "http://shmbus/openapi.json"

// seen are the answers that were checked, by operation and status.
var seen = struct {
	sync.Mutex
	answers map[string]bool
}{answers: map[string]bool{}}

func loadDocument(t *testing.T) *document {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(documentURL, v); err != nil {
		t.Fatal(err)
	}
	return &document{v.(map[string]any), c}
}

// at follows keys into the document.
func (d *document) at(keys ...string) map[string]any {
	v := d.raw
	for _, k := range keys {
		next, ok := v[k].(map[string]any)
		if !ok {
			return nil
		}
		v = next
	}
	return v
}

// path is the path of the document that a request's path is of.
func (d *document) path(path string) string {
	path, _, _ = strings.Cut(path, "?")
	for p := range d.at("paths") {
		want, got := strings.Split(p, "/"), strings.Split(path, "/")
		ok := len(want) == len(got)
		for i := range want {
			ok = ok && (want[i] == got[i] || strings.HasPrefix(want[i], "{"))
		}
		if ok {
			return p
		}
	}
	return ""
}

// check checks an answer. What is not of the API is not checked, nor what the
// document does not offer at all.
func (d *document) check(t *testing.T, method, path string, a *http.Response, body []byte) {
	t.Helper()
	if method == http.MethodOptions || a.StatusCode/100 == 3 {
		return // before the API: permission for other sites, paths made clean
	}
	method = strings.ToLower(method)
	p := d.path(path)
	if p == "" || d.at("paths", p, method) == nil {
		if strings.HasPrefix(path, "/v1/") && a.StatusCode < 400 {
			t.Errorf("%s %s is not in the document", method, path)
		}
		return
	}
	status := strconv.Itoa(a.StatusCode)
	answer := d.at("paths", p, method, "responses", status)
	if answer == nil {
		t.Errorf("%s %s: the document knows no %s: %s", method, p, status, body)
		return
	}
	kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if d.at("paths", p, method, "responses", status, "content", kind) == nil {
		t.Errorf("%s %s: the document knows no %s %s", method, p, status, kind)
		return
	}
	for name := range d.at("paths", p, method, "responses", status, "headers") {
		if a.Header.Get(name) == "" {
			t.Errorf("%s %s: %s without %s", method, p, status, name)
		}
	}
	seen.Lock()
	seen.answers[method+" "+p+" "+status] = true
	seen.Unlock()
	switch kind {
	case "application/json", "application/problem+json":
		escaped := strings.NewReplacer("~", "~0", "/", "~1")
		d.validate(t, "#/paths/"+escaped.Replace(p)+"/"+method+"/responses/"+status+"/content/"+escaped.Replace(kind)+"/schema", body)
	case "application/x-ndjson":
		for line := range bytes.Lines(body) {
			if len(bytes.TrimSpace(line)) > 0 {
				d.checkSchema(t, "Message", line)
			}
		}
	case "text/event-stream":
		event := ""
		for line := range strings.Lines(string(body)) {
			line = strings.TrimSuffix(line, "\n")
			if e, ok := strings.CutPrefix(line, "event: "); ok {
				event = e
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && event == "message" {
				d.checkSchema(t, "Message", []byte(data))
			}
		}
	}
}

// checkSchema checks a value against a schema of the document by its name.
func (d *document) checkSchema(t *testing.T, name string, body []byte) {
	t.Helper()
	d.validate(t, "#/components/schemas/"+name, body)
}

func (d *document) validate(t *testing.T, pointer string, body []byte) {
	t.Helper()
	schema, err := d.compiler.Compile(documentURL + pointer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", pointer, err, body)
	}
}

// TestDocumentIsChecked: an answer that differs from the document is noticed.
func TestDocumentIsChecked(t *testing.T) {
	d := loadDocument(t)
	schema, err := d.compiler.Compile(documentURL + "#/components/schemas/Message")
	if err != nil {
		t.Fatal(err)
	}
	v, _ := jsonschema.UnmarshalJSON(strings.NewReader(`{"sequence":-1}`))
	if schema.Validate(v) == nil {
		t.Error("nonsense is taken for a message")
	}
}

// TestKinds: the document knows each kind of problem.
func TestKinds(t *testing.T) {
	d := loadDocument(t)
	for _, k := range kinds {
		d.checkSchema(t, "Problem", fmt.Appendf(nil, `{"type":"shmbus:%s","title":"","status":%d,"detail":""}`, k.kind, k.status))
	}
}
