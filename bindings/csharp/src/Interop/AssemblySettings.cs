using System.Runtime.CompilerServices;

// Every signature of the raw layer is blittable already: no marshalling code is wanted, at run time or ahead of it.
[assembly: DisableRuntimeMarshalling]
