package steps

import (
	"debug/elf"
	"fmt"
	"runtime"
	"sync"
)

// section is the program's instructions. Victims execute the same file at the
// same addresses, so this process reads theirs in its own copy.
type section struct {
	start  uintptr
	bytes  []byte
	marker uintptr // the int3 of runtime.Breakpoint
}

var text = sync.OnceValue(func() section {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		panic(fmt.Sprintf("reading the own binary: %v", err))
	}
	defer f.Close()
	t := f.Section(".text")
	b, err := t.Data()
	if err != nil {
		panic(fmt.Sprintf("reading the own binary: %v", err))
	}
	s := section{start: uintptr(t.Addr), bytes: b}
	if s.marker = s.find("runtime.breakpoint"); s.marker == 0 {
		panic("the binary has no runtime.breakpoint that begins with int3")
	}
	return s
})

// find returns the address of the function of that name, which begins with
// int3, or 0. A test binary may have no symbol table.
func (s section) find(name string) uintptr {
	for i := range s.bytes {
		if s.bytes[i] != int3 {
			continue
		}
		if f := runtime.FuncForPC(s.start + uintptr(i)); f != nil && f.Name() == name && f.Entry() == s.start+uintptr(i) {
			return f.Entry()
		}
	}
	return 0
}

// marker is the address of the int3 that victims execute before and after the
// call under test.
func marker() uintptr { return text().marker }

func textAt(address uintptr) byte {
	s := text()
	if i := address - s.start; i < uintptr(len(s.bytes)) {
		return s.bytes[i]
	}
	panic(fmt.Sprintf("no instruction of the program at %#x", address))
}

// inText reports whether a breakpoint can be set there: not in the vDSO.
func inText(address uintptr) bool { return address-text().start < uintptr(len(text().bytes)) }

// isCall reports whether the instruction at address is a system call.
func isCall(address uintptr) bool {
	return inText(address) && inText(address+1) && textAt(address) == 0x0f && textAt(address+1) == 0x05
}
