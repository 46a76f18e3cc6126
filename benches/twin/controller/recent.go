package main

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// settle is the longest that the caches may take to show a write.
const settle = 5 * time.Second

// Steps that end in a moment of which the caches know nothing yet.
const (
	stepApplied = iota
	stepWorkloadDeleted
	stepRestDeleted
)

// recent is a memory of what was written a moment ago, so that a reconcile on caches from before does not write it again.
// Nothing depends on it: without it, the same would be written once more.
type recent struct {
	mutex sync.Mutex
	steps map[types.NamespacedName]step
}

type step struct {
	kind int
	at   time.Time
}

func newRecent() *recent { return &recent{steps: map[types.NamespacedName]step{}} }

func (r *recent) note(of types.NamespacedName, kind int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.steps[of] = step{kind: kind, at: time.Now()}
}

func (r *recent) is(of types.NamespacedName, kind int) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	last, found := r.steps[of]
	return found && last.kind == kind && time.Since(last.at) < settle
}

func (r *recent) forget(of types.NamespacedName) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.steps, of)
}
