"""What is wrong with a home and its surroundings, found without changing anything; the daemon may run or not."""
