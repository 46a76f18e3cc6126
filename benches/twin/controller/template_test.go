package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// rendered is what KIDP renders for a small PostgreSQL, kept by its own tests.
const rendered = "../../../kidp-provisioners/tests/revisions/database-postgresql/r1/15-small.yaml"

const (
	templateDeployment = "deploy-dc73fa0f9a7565f9d08106b68db95d56"
	templateUID        = "9f0c7d1e-0000-4000-8000-000000000001"
	templatePassword   = "templatetemplatetemplate"
)

// written is the rendering as `cargo xtask scale` writes a template. Its Secret, whose values are not kept, gets some.
func written(t *testing.T) []byte {
	t.Helper()
	file, err := os.Open(rendered)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var objects []tree
	for decoder := utilyaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		var object tree
		if err := decoder.Decode(&object); err != nil {
			break
		}
		if object["kind"] == "Secret" {
			host := "orders-postgresql.shop.svc"
			coded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
			object["data"] = tree{
				"host": coded(host), "port": coded("5432"), "password": coded(templatePassword),
				"uri": coded("postgresql://app:" + templatePassword + "@" + host + ":5432/app"),
			}
		}
		objects = append(objects, object)
	}
	record := tree{
		"apiVersion": "broker.platform.company.com/v1alpha1", "kind": "ServiceInstance",
		"metadata": tree{
			"name": templateDeployment, "namespace": "shop", "uid": "the-template's-own", "resourceVersion": "7",
			"finalizers": []any{recordFinalizer},
			"labels": tree{
				managerLabel: managedByKIDP, instanceLabel: "orders", deploymentLabel: templateDeployment,
			},
		},
		"spec": tree{
			"deploymentId": templateDeployment, "resourceType": "Database", "resourceName": "orders",
			"resourceUid": templateUID, "resourceGeneration": 1, "team": "payments", "renderRevision": 1,
			"instance": tree{"engine": "postgresql", "version": "15"},
		},
	}
	text, err := json.Marshal(tree{"name": "orders", "namespace": "shop", "record": record, "objects": objects})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parsed(t *testing.T) *template {
	t.Helper()
	made, err := parse(written(t))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTheLongerTokenCounts(t *testing.T) {
	found := split("a-b in a, a-b", values{slotName: "a", slotNamespace: "a-b"})
	filled := string(found.fill(&values{slotName: "one", slotNamespace: "two"}))
	if filled != "two in one, two" {
		t.Fatal(filled)
	}
	if empty := split("", values{}); string(empty.fill(&values{})) != "" {
		t.Fatal(empty)
	}
}

func TestNothingOfTheTemplateIsLeft(t *testing.T) {
	made := parsed(t)
	if len(made.objects) != 7 {
		t.Fatalf("%d objects", len(made.objects))
	}
	with := &values{"cache-9", "here", "deploy-9", "uid-9", "record-9", "password-9"}
	bodies := []string{string(made.record.fill(with))}
	for _, object := range made.objects {
		bodies = append(bodies, string(object.body.fill(with)))
	}
	for _, body := range bodies {
		if !json.Valid([]byte(body)) {
			t.Error("no JSON:", body)
		}
		for _, token := range []string{"orders", "shop", templateDeployment, templateUID, templatePassword, recordUID, "resourceVersion"} {
			if strings.Contains(body, token) {
				t.Errorf("%s is left in %s", token, body)
			}
		}
	}
}

func TestANameIsFoundByItsLabel(t *testing.T) {
	made := parsed(t)
	name, ok := made.nameOf(map[string]string{instanceLabel: "db-12-postgresql"})
	if !ok || name != "db-12" {
		t.Fatal(name, ok)
	}
	for _, other := range []string{"", "-postgresql", "db-12-mysql"} {
		if name, ok := made.nameOf(map[string]string{instanceLabel: other}); ok {
			t.Error(name)
		}
	}
}

func TestATemplateWithoutARecordIsRefused(t *testing.T) {
	for _, text := range []string{"{}", `{"name":"a","namespace":"b","record":{},"objects":[]}`, "no JSON"} {
		if _, err := parse([]byte(text)); err == nil {
			t.Error(text)
		}
	}
}
