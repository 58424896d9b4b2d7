module com.example.greedy {
  requires io.moxie;
}
