"""The CASM virtual machine: memory, instructions, hints. What a syscall does to state is its caller's."""
