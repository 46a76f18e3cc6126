// diff is the twin of `compare` in kidp-benches: the same files and arguments, compared by structured-merge-diff, the
// library that the API server merges with, by client-go's schema. `typed` is one more: both sides converted beforehand.
// A field is changed that is in the desired object and another or gone in the live one. For a changed object it finds
// the managers that own the field, as `compare` does. It does less: no quantities, no defaults, no text of a report.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/managedfields"
	applyconfigurations "k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

type object = map[string]any

var converter managedfields.TypeConverter

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: diff unchanged|changed|one|typed|sweep <folder> <count>")
	}
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	converter = applyconfigurations.NewTypeConverter(scheme.Scheme)
	folder := os.Args[2]
	switch what := os.Args[1]; what {
	case "unchanged":
		measure(folder, "live", false, count)
	case "changed":
		measure(folder, "changed", true, count)
	case "one":
		measure(folder, "live", true, count)
	case "typed":
		measureTyped(folder, count)
	case "sweep":
		sweep(folder, count)
	default:
		log.Fatalf("%s: not known", what)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func text(folder, name string) []byte {
	text, err := os.ReadFile(filepath.Join(folder, name+".json"))
	check(err)
	return text
}

func objects(text []byte) []object {
	var list []object
	check(json.Unmarshal(text, &list))
	return list
}

func convert(o object) *typed.TypedValue {
	value, err := converter.ObjectToTyped(&unstructured.Unstructured{Object: o}, typed.AllowDuplicates)
	check(err)
	return value
}

// differing gives the fields of desired that live does not hold.
func differing(desired, live *typed.TypedValue) *fieldpath.Set {
	comparison, err := desired.Compare(live)
	check(err)
	return comparison.Modified.Union(comparison.Removed)
}

func compare(desired, live object) int {
	fields := differing(convert(desired), convert(live))
	if fields.Empty() {
		return 0
	}
	owners(live, fields)
	return fields.Size()
}

// owners finds the latest manager of each field, other than ours.
func owners(live object, fields *fieldpath.Set) map[string]string {
	found, latest := map[string]string{}, map[string]string{}
	metadata, _ := live["metadata"].(object)
	entries, _ := metadata["managedFields"].([]any)
	for _, entry := range entries {
		entry, _ := entry.(object)
		manager, _ := entry["manager"].(string)
		written, _ := entry["time"].(string)
		raw, err := json.Marshal(entry["fieldsV1"])
		check(err)
		owned := fieldpath.NewSet()
		check(owned.FromJSON(bytes.NewReader(raw)))
		fields.Iterate(func(path fieldpath.Path) {
			if at := path.String(); manager != "kidp-broker" && owned.Has(path) && written >= latest[at] {
				found[at], latest[at] = manager, written
			}
		})
	}
	return found
}

func read(folder, name string, onlySet bool) (desired, live []object) {
	keep := func(list []object) (kept []object) {
		for _, o := range list {
			if !onlySet || o["kind"] == "StatefulSet" {
				kept = append(kept, o)
			}
		}
		return kept
	}
	return keep(objects(text(folder, "desired"))), keep(objects(text(folder, name)))
}

func measure(folder, name string, onlySet bool, rounds int) {
	desired, live := read(folder, name, onlySet)
	for at := range desired { // The first conversion of a kind reads the schema.
		compare(desired[at], live[at])
	}
	found := 0
	began := time.Now()
	for range rounds {
		for at := range desired {
			found += compare(desired[at], live[at])
		}
	}
	fmt.Println(time.Since(began).Nanoseconds()/int64(rounds), found/rounds)
}

func measureTyped(folder string, rounds int) {
	desired, live := read(folder, "live", true)
	one, other := convert(desired[0]), convert(live[0])
	found := 0
	began := time.Now()
	for range rounds {
		found += differing(one, other).Size()
	}
	fmt.Println(time.Since(began).Nanoseconds()/int64(rounds), found/rounds)
}

func sweep(folder string, instances int) {
	wanted, same, changed := text(folder, "desired"), text(folder, "live"), text(folder, "changed")
	found := 0
	for n := range instances {
		served := same
		if n%100 == 0 {
			served = changed
		}
		desired, live := objects(wanted), objects(served)
		for at := range desired {
			found += compare(desired[at], live[at])
		}
	}
	fmt.Println(found)
}
