// schema prints kidp-drift/src/schema/table.rs: how the API server's schema merges each field of the stable built-in
// kinds (keyed lists, sets, atomic lists and maps) and which fields hold quantities. Its source is the schema that
// client-go of the version in go.mod carries; run it with `go run ./schema > ../../kidp-drift/src/schema/table.rs`.
package main

import (
	"fmt"
	"log"
	"os"
	"regexp"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applyconfigurations "k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

const (
	quantity    = "io.k8s.apimachinery.pkg.api.resource.Quantity"
	intOrString = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
	maxKeys     = 4
)

var stable = regexp.MustCompile(`^v[0-9]+$`)

// Types known to the table, by name or, where they have none, by what they are.
type table struct {
	schema *smd.Schema
	ids    map[string]int
	rows   []string
}

func main() {
	converter := applyconfigurations.NewTypeConverter(scheme.Scheme)
	result := &table{ids: map[string]int{}}
	result.add("Plain")
	result.add("Quantity")
	result.add("IntOrString")
	kinds := map[string]int{}
	for _, kind := range sortedKinds() {
		object, err := scheme.Scheme.New(kind)
		if err != nil {
			log.Fatal(err)
		}
		object.GetObjectKind().SetGroupVersionKind(kind)
		typed, err := converter.ObjectToTyped(object)
		if err != nil || kind.Kind == "DeleteOptions" {
			continue // Not a kind that is stored, such as a list or options.
		}
		if result.schema == nil {
			result.schema = typed.Schema()
		}
		if ref := typed.TypeRef(); ref.NamedType != nil && !strings.HasPrefix(*ref.NamedType, "__") {
			kinds[kind.GroupVersion().String()+" "+kind.Kind] = result.id(ref)
		}
	}
	result.print(kinds)
}

func sortedKinds() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for kind := range scheme.Scheme.AllKnownTypes() {
		if stable.MatchString(kind.Version) && kind.Version != runtime.APIVersionInternal {
			kinds = append(kinds, kind)
		}
	}
	sort.Slice(kinds, func(a, b int) bool { return kinds[a].String() < kinds[b].String() })
	return kinds
}

func (t *table) add(row string) int {
	t.rows = append(t.rows, row)
	return len(t.rows) - 1
}

// id gives the number of a type, which is added where it is new.
func (t *table) id(ref smd.TypeRef) int {
	if ref.NamedType != nil && ref.ElementRelationship == nil {
		switch *ref.NamedType {
		case quantity:
			return 1
		case intOrString:
			return 2
		}
		if id, ok := t.ids[*ref.NamedType]; ok {
			return id
		}
	}
	atom, ok := t.schema.Resolve(ref)
	if !ok {
		log.Fatalf("a type that the schema does not hold: %v", ref)
	}
	if ref.NamedType != nil && ref.ElementRelationship == nil {
		t.ids[*ref.NamedType] = t.add("") // Its place, for types that hold themselves.
		id := t.ids[*ref.NamedType]
		t.rows[id] = t.row(atom)
		return id
	}
	row := t.row(atom)
	if row == "Plain" {
		return 0
	}
	if id, ok := t.ids[row]; ok {
		return id
	}
	t.ids[row] = t.add(row)
	return t.ids[row]
}

func (t *table) row(atom smd.Atom) string {
	switch {
	case atom.Map != nil && atom.Scalar == nil:
		return t.mapRow(atom.Map)
	case atom.List != nil && atom.Scalar == nil:
		return t.listRow(atom.List)
	default:
		return "Plain"
	}
}

func (t *table) mapRow(m *smd.Map) string {
	var fields []string
	for _, field := range m.Fields {
		fields = append(fields, fmt.Sprintf("(%q, %d)", field.Name, t.id(field.Type)))
	}
	sort.Strings(fields)
	rest := 0
	if m.ElementType.NamedType != nil || m.ElementType.Inlined != (smd.Atom{}) {
		rest = t.id(m.ElementType)
	}
	atomic := m.ElementRelationship == smd.Atomic
	if len(fields) == 0 && rest == 0 && !atomic {
		return "Plain"
	}
	return fmt.Sprintf("Map { atomic: %v, rest: %d, fields: &[%s] }", atomic, rest, strings.Join(fields, ", "))
}

func (t *table) listRow(l *smd.List) string {
	item := t.id(l.ElementType)
	switch {
	case l.ElementRelationship == smd.Atomic:
		if item == 0 {
			return "Plain"
		}
		return fmt.Sprintf("Atomic(%d)", item)
	case len(l.Keys) == 0:
		return "Set"
	case len(l.Keys) > maxKeys:
		log.Fatalf("%d keys", len(l.Keys))
	}
	atom, _ := t.schema.Resolve(l.ElementType)
	var keys []string
	for _, key := range l.Keys {
		fallback := ""
		if atom.Map != nil {
			if field, ok := atom.Map.FindField(key); ok {
				// A number's default is what Go makes of a missing one; the API server asks for these keys.
				fallback, _ = field.Default.(string)
			}
		}
		keys = append(keys, fmt.Sprintf("(%q, %q)", key, fallback))
	}
	sort.Strings(keys)
	return fmt.Sprintf("Keyed(&[%s], %d)", strings.Join(keys, ", "), item)
}

func (t *table) print(kinds map[string]int) {
	fmt.Println("//! How the API server merges the fields of the stable built-in kinds.")
	fmt.Println("//!")
	fmt.Println("//! Written by `go run ./schema` in `benches/twin`, from the schema in client-go; do not edit.")
	fmt.Println("use super::Shape::{self, Atomic, IntOrString, Keyed, Map, Plain, Quantity, Set};")
	fmt.Println("\n/// The kinds by `apiVersion kind`, in order, with their place in [`TYPES`].\n#[rustfmt::skip]")
	fmt.Println("pub(super) static KINDS: &[(&str, u16)] = &[")
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("    (%q, %d),\n", name, kinds[name])
	}
	fmt.Println("];\n\n/// The types; they refer to each other by place, and fields are in order.\n#[rustfmt::skip]")
	fmt.Println("pub(super) static TYPES: &[Shape] = &[")
	for at, row := range t.rows {
		if row == "" {
			fmt.Fprintf(os.Stderr, "type %d is empty\n", at)
			os.Exit(1)
		}
		fmt.Printf("    /* %d */ %s,\n", at, row)
	}
	fmt.Println("];")
}
