global using Raw = Moxie.Interop.rawPINVOKE;
