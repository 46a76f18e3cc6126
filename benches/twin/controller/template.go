package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

type tree = map[string]any

// What differs from one instance to the next, as slots of a text.
const (
	slotName = iota
	slotNamespace
	slotDeployment
	slotUID
	slotRecordUID
	slotPassword
	slots
)

// values are what one instance has in the slots.
type values [slots]string

// text is a text with slots: a literal, a slot, a literal, and so on, with a literal at either end.
type text struct {
	literals []string
	slots    []int
}

// split finds the tokens of the slots. Where two begin at the same place, the longer one counts.
func split(source string, tokens values) text {
	order := make([]int, 0, slots)
	for slot := range tokens {
		if tokens[slot] != "" {
			order = append(order, slot)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return len(tokens[order[a]]) > len(tokens[order[b]]) })
	var found text
	begin := 0
	for at := 0; at < len(source); {
		slot := -1
		for _, candidate := range order {
			if strings.HasPrefix(source[at:], tokens[candidate]) {
				slot = candidate
				break
			}
		}
		if slot < 0 {
			at++
			continue
		}
		found.literals = append(found.literals, source[begin:at])
		found.slots = append(found.slots, slot)
		at += len(tokens[slot])
		begin = at
	}
	found.literals = append(found.literals, source[begin:])
	return found
}

// fill puts values into the slots. None of them has a character that JSON escapes.
func (t text) fill(with *values) []byte {
	size := 0
	for _, literal := range t.literals {
		size += len(literal)
	}
	for _, slot := range t.slots {
		size += len(with[slot])
	}
	filled := make([]byte, 0, size)
	for at, slot := range t.slots {
		filled = append(filled, t.literals[at]...)
		filled = append(filled, with[slot]...)
	}
	return append(filled, t.literals[len(t.slots)]...)
}

// object is one of an instance's objects.
type object struct {
	kind schema.GroupVersionKind
	// hash of what it is made from; the object has it as an annotation.
	hash string
	name text
	body text
}

func (o *object) isSecret() bool { return o.kind.Kind == "Secret" }

// template is what every instance is made from.
type template struct {
	record  text
	objects []object
	// hash of all of it.
	hash string
	// host, port and secret are how clients connect.
	host, secret text
	port         int32
	// before and after are around the name in the label that an instance's objects share.
	before, after string
}

// source is the template as it is written. What stands for an instance's own values is replaced wherever it occurs, so it
// has to be words that occur nowhere else: the name and the namespace, the record's name (the deployment's id), its
// resourceUid, and the password in the Secret.
type source struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Record is a ServiceInstance.
	Record tree `json:"record"`
	// Objects are the instance's, in the order in which they are applied, as KIDP renders them.
	Objects []tree `json:"objects"`
}

const (
	hashAnnotation  = "platform.company.com/applied-hash"
	instanceLabel   = "app.kubernetes.io/instance"
	managerLabel    = "app.kubernetes.io/managed-by"
	deploymentLabel = "platform.company.com/deployment-id"
	managedByKIDP   = "kidp"
	// recordUID stands for the UID of an instance's record, which the template cannot have.
	recordUID = "00000000-uid-of-the-record"
)

func readTemplate(path string) (*template, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	read, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return read, nil
}

func parse(text []byte) (*template, error) {
	var from source
	if err := json.Unmarshal(text, &from); err != nil {
		return nil, err
	}
	tokens, err := from.tokens()
	if err != nil {
		return nil, err
	}
	strip(from.Record)
	record, err := json.Marshal(from.Record)
	if err != nil {
		return nil, err
	}
	made := &template{record: split(string(record), tokens)}
	for at, object := range from.Objects {
		if err := made.add(object, from.Record, tokens); err != nil {
			return nil, fmt.Errorf("object %d: %w", at, err)
		}
	}
	hashes := make([]string, 0, len(made.objects))
	for _, object := range made.objects {
		hashes = append(hashes, object.hash)
	}
	made.hash = hash(hashes...)
	if len(made.host.literals) == 0 {
		return nil, errors.New("there is no Secret among the objects")
	}
	return made, nil
}

// tokens are the template's own values of the slots.
func (s *source) tokens() (values, error) {
	spec, _ := s.Record["spec"].(tree)
	tokens := values{
		slotName:       s.Name,
		slotNamespace:  s.Namespace,
		slotDeployment: field(s.Record, "metadata", "name"),
		slotUID:        field(spec, "resourceUid"),
		slotRecordUID:  recordUID,
	}
	if s.Name == "" || s.Namespace == "" || tokens[slotDeployment] == "" {
		return tokens, errors.New("the template has no name, no namespace or no record")
	}
	for _, object := range s.Objects {
		if object["kind"] == "Secret" {
			if err := readable(object); err != nil {
				return tokens, err
			}
			tokens[slotPassword] = field(object, "stringData", "password")
		}
	}
	return tokens, nil
}

// readable makes a Secret's data text, in which the slots can be found.
func readable(secret tree) error {
	data, _ := secret["data"].(tree)
	texts := tree{}
	for key, value := range data {
		coded, _ := value.(string)
		decoded, err := base64.StdEncoding.DecodeString(coded)
		if err != nil {
			return err
		}
		texts[key] = string(decoded)
	}
	delete(secret, "data")
	secret["stringData"] = texts
	return nil
}

func (t *template) add(from, record tree, tokens values) error {
	kind := schema.FromAPIVersionAndKind(field(from, "apiVersion"), field(from, "kind"))
	name := field(from, "metadata", "name")
	if kind.Kind == "" || kind.Version == "" || name == "" {
		return errors.New("it has no apiVersion, no kind or no name")
	}
	strip(from)
	metadata, _ := from["metadata"].(tree)
	made := object{kind: kind, name: split(name, tokens)}
	if made.isSecret() {
		if err := t.connect(from, made.name, tokens); err != nil {
			return err
		}
	} else {
		metadata["ownerReferences"] = []any{tree{
			"apiVersion": brokerVersion.String(), "kind": "ServiceInstance", "controller": true,
			"blockOwnerDeletion": true, "name": field(record, "metadata", "name"), "uid": recordUID,
		}}
	}
	if kind.Kind == "StatefulSet" {
		label := split(field(from, "metadata", "labels", instanceLabel), tokens)
		if len(label.slots) != 1 || label.slots[0] != slotName {
			return errors.New("its instance label does not have the name in it")
		}
		t.before, t.after = label.literals[0], label.literals[1]
	}
	plain, err := json.Marshal(from)
	if err != nil {
		return err
	}
	made.hash = hash(string(plain))
	annotations, _ := metadata["annotations"].(tree)
	if annotations == nil {
		annotations = tree{}
		metadata["annotations"] = annotations
	}
	annotations[hashAnnotation] = made.hash
	body, err := json.Marshal(from)
	if err != nil {
		return err
	}
	made.body = split(string(body), tokens)
	t.objects = append(t.objects, made)
	return nil
}

// connect takes from the Secret how clients connect.
func (t *template) connect(secret tree, name text, tokens values) error {
	t.secret = name
	t.host = split(field(secret, "stringData", "host"), tokens)
	_, err := fmt.Sscan(field(secret, "stringData", "port"), &t.port)
	return err
}

// nameOf is the name of the Database that an object with these labels belongs to.
func (t *template) nameOf(labels map[string]string) (string, bool) {
	name, starts := strings.CutPrefix(labels[instanceLabel], t.before)
	name, ends := strings.CutSuffix(name, t.after)
	return name, starts && ends && name != ""
}

// strip takes off what a server writes, so that a template can be made from live objects too.
func strip(object tree) {
	delete(object, "status")
	metadata, _ := object["metadata"].(tree)
	for _, name := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		delete(metadata, name)
	}
	if annotations, _ := metadata["annotations"].(tree); annotations != nil {
		delete(annotations, hashAnnotation)
	}
}

func field(from tree, path ...string) string {
	for _, name := range path[:len(path)-1] {
		from, _ = from[name].(tree)
	}
	value, _ := from[path[len(path)-1]].(string)
	return value
}

// hash is KIDP's: of each part, with its length before it.
func hash(parts ...string) string {
	hasher := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		hasher.Write(length[:])
		hasher.Write([]byte(part))
	}
	return hex.EncodeToString(hasher.Sum(nil))[:32]
}
