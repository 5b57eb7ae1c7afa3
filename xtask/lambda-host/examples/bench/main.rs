fn main() {}
mod cloud;
