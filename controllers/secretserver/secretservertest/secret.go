package secretservertest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Secret is something kept in the Secret Server, which the accounts that list it
// may read.
type Secret struct {
	ID     int     `json:"id"`
	Name   string  `json:"name"`
	Folder string  `json:"folder,omitempty"` // such as \Team\Production
	Fields []Field `json:"fields,omitempty"`
}

// Field is one item of a secret.
type Field struct {
	Name     string `json:"name"`
	Slug     string `json:"slug"`
	Value    string `json:"value"`
	Password bool   `json:"password,omitempty"`
	Filename string `json:"filename,omitempty"` // set: an attachment, served on its own path
}

// path is how secretPath names the secret.
func (c Secret) path() string {
	return `\` + strings.TrimPrefix(strings.Trim(c.Folder, `\`)+`\`+c.Name, `\`)
}

func validateSecrets(a Account) error {
	var errs []error
	for _, secret := range a.Secrets {
		if secret.ID <= 0 {
			errs = append(errs, fmt.Errorf("account %s: secret %q has no positive id", a.Name(), secret.Name))
		}
	}
	return errors.Join(errs...)
}

// item and secretModel are the parts of the REST model that clients read.
type item struct {
	ItemID           int    `json:"itemId"`
	FieldID          int    `json:"fieldId"`
	FileAttachmentID int    `json:"fileAttachmentId,omitempty"`
	Filename         string `json:"filename,omitempty"`
	FieldName        string `json:"fieldName"`
	Slug             string `json:"slug"`
	ItemValue        string `json:"itemValue"`
	IsFile           bool   `json:"isFile"`
	IsNotes          bool   `json:"isNotes"`
	IsPassword       bool   `json:"isPassword"`
}

type secretModel struct {
	ID               int    `json:"id"`
	Name             string `json:"name"`
	FolderID         int    `json:"folderId"`
	SiteID           int    `json:"siteId"`
	SecretTemplateID int    `json:"secretTemplateId"`
	Active           bool   `json:"active"`
	Items            []item `json:"items,omitempty"` // not in search results
}

func (c Secret) model() secretModel {
	m := secretModel{ID: c.ID, Name: c.Name, FolderID: 1, SiteID: 1, SecretTemplateID: 1, Active: true}
	for i, f := range c.Fields {
		it := item{ItemID: c.ID*100 + i, FieldID: i + 1, FieldName: f.Name, Slug: f.Slug, ItemValue: f.Value, IsPassword: f.Password}
		if f.Filename != "" {
			it.IsFile, it.Filename, it.FileAttachmentID = true, f.Filename, it.ItemID
			it.ItemValue = "*** Not Valid For Display ***"
		}
		m.Items = append(m.Items, it)
	}
	return m
}

// readSecret answers GET secrets/{id}. The id 0 with a secretPath finds by path.
func readSecret(a *account, id string, query url.Values) reply {
	number, err := strconv.Atoi(id)
	if err != nil {
		return badRequest("The request is invalid.")
	}
	wanted := query.Get("secretPath")
	for _, secret := range a.Secrets {
		if secret.ID == number || number == 0 && wanted != "" && strings.EqualFold(secret.path(), wanted) {
			return jsonReply(http.StatusOK, Granted, secret.model())
		}
	}
	return accessDenied()
}

// readField answers GET secrets/{id}/fields/{slug}: an attachment as it is, other
// values as a JSON string.
func readField(a *account, id, slug string) reply {
	for _, secret := range a.Secrets {
		if strconv.Itoa(secret.ID) != id {
			continue
		}
		for _, f := range secret.Fields {
			if !strings.EqualFold(f.Slug, slug) {
				continue
			}
			if f.Filename == "" {
				return jsonReply(http.StatusOK, Granted, f.Value)
			}
			header := http.Header{"Content-Type": {"application/octet-stream"}}
			return reply{status: http.StatusOK, header: header, body: []byte(f.Value), result: Granted}
		}
		return badRequest("The field does not exist.")
	}
	return accessDenied()
}

// searchSecrets answers GET secrets: a search in names, or in one field's value.
func searchSecrets(a *account, query url.Values) reply {
	text := query.Get("paging.filter.searchText")
	field := query.Get("paging.filter.searchField")
	exact := query.Get("paging.filter.isExactMatch") == "true"
	var found []secretModel
	for _, secret := range a.Secrets {
		if secret.matches(text, field, exact) {
			m := secret.model()
			m.Items = nil
			found = append(found, m)
		}
	}
	return jsonReply(http.StatusOK, Granted, struct {
		SearchText string        `json:"searchText"`
		Total      int           `json:"total"`
		Records    []secretModel `json:"records"`
	}{text, len(found), page(found, query)})
}

func (c Secret) matches(text, field string, exact bool) bool {
	value := c.Name
	if field != "" {
		value = ""
		for _, f := range c.Fields {
			if strings.EqualFold(f.Slug, field) || strings.EqualFold(f.Name, field) {
				value = f.Value
			}
		}
	}
	if exact {
		return strings.EqualFold(value, text)
	}
	return strings.Contains(strings.ToLower(value), strings.ToLower(text))
}

// page cuts paging.skip and paging.take, 10 by default, from the records.
func page(records []secretModel, query url.Values) []secretModel {
	number := func(name string, fallback int) int {
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 0 {
			return fallback
		}
		return n
	}
	skip := min(number("paging.skip", 0), len(records))
	take := min(number("paging.take", 10), len(records)-skip)
	return append([]secretModel{}, records[skip:skip+take]...) // [] rather than null
}

// accessDenied is a 403 that says nothing about the token.
func accessDenied() reply {
	return jsonReply(http.StatusForbidden, AccessDenied, map[string]string{
		"message": "Access Denied", "errorCode": "API_AccessDenied",
	})
}

func badRequest(message string) reply {
	return jsonReply(http.StatusBadRequest, Malformed, map[string]string{"message": message})
}
